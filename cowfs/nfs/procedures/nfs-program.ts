/** The NFS program, version 3: its procedures by number (RFC 1813 section 3.2). */
import { access } from "./access.ts";
import { commit } from "./commit.ts";
import { create } from "./create.ts";
import { createDirectory } from "./create-directory.ts";
import { createSpecial } from "./create-special.ts";
import { createSymlink } from "./create-symlink.ts";
import { fileSystemInformation, fileSystemStatistics, pathConfiguration } from "./file-system-facts.ts";
import { getAttributes } from "./get-attributes.ts";
import { link } from "./link.ts";
import { readDirectory, readDirectoryPlus } from "./list-directory.ts";
import { lookup } from "./lookup.ts";
import { nullProcedure } from "./null.ts";
import type { Program } from "./procedure.ts";
import { read } from "./read.ts";
import { readLink } from "./read-link.ts";
import { removeDirectory, removeFile } from "./remove.ts";
import { rename } from "./rename.ts";
import { setAttributes } from "./set-attributes.ts";
import { write } from "./write.ts";

export const nfsProgram: Program = {
  number: 100003,
  version: 3,
  procedures: [
    nullProcedure,
    getAttributes,
    setAttributes,
    lookup,
    access,
    readLink,
    read,
    write,
    create,
    createDirectory,
    createSymlink,
    createSpecial,
    removeFile,
    removeDirectory,
    rename,
    link,
    readDirectory,
    readDirectoryPlus,
    fileSystemStatistics,
    fileSystemInformation,
    pathConfiguration,
    commit,
  ],
};
