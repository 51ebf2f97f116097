import type { MountContext, Operation } from "../mount-context.ts";
import { Opcode } from "../protocol.ts";
import { getAttributes, setAttributes, statistics } from "./attributes.ts";
import { read, write } from "./content.ts";
import { createDirectory, createFile, createSpecial, createSymlink } from "./create.ts";
import { readDirectory, readDirectoryPlus } from "./directories.ts";
import { getExtended, listExtended, removeExtended, setExtended } from "./extended.ts";
import { initialize } from "./init.ts";
import { link, lookUp, readLink, removeDirectory, removeFile, rename, renameWithFlags } from "./names.ts";

/**
 * The operations by opcode. What is not here is answered ENOSYS, which is an answer: the kernel then does it itself (FLUSH,
 * ACCESS, LSEEK, COPY_FILE_RANGE, locks) or refuses it (FALLOCATE, IOCTL), and does not ask again.
 */
export const operations: readonly (Operation | undefined)[] = index({
  [Opcode.init]: initialize,
  [Opcode.lookup]: lookUp,
  [Opcode.getattr]: getAttributes,
  [Opcode.setattr]: setAttributes,
  [Opcode.readlink]: readLink,
  [Opcode.symlink]: createSymlink,
  [Opcode.mknod]: createSpecial,
  [Opcode.mkdir]: createDirectory,
  [Opcode.unlink]: removeFile,
  [Opcode.rmdir]: removeDirectory,
  [Opcode.rename]: rename,
  [Opcode.rename2]: renameWithFlags,
  [Opcode.link]: link,
  [Opcode.open]: open,
  [Opcode.opendir]: open,
  [Opcode.release]: succeed,
  [Opcode.releasedir]: succeed,
  [Opcode.destroy]: succeed,
  [Opcode.create]: createFile,
  [Opcode.read]: read,
  [Opcode.write]: write,
  [Opcode.statfs]: statistics,
  [Opcode.setxattr]: setExtended,
  [Opcode.getxattr]: getExtended,
  [Opcode.listxattr]: listExtended,
  [Opcode.removexattr]: removeExtended,
  [Opcode.readdir]: readDirectory,
  [Opcode.readdirplus]: readDirectoryPlus,
});

/** ENOSYS means "never ask"; where others write too, each open asks, so that the kernel drops what it cached. */
function open({ reply, validSeconds }: MountContext): void {
  if (validSeconds > 0) throw new NotImplemented();
  reply.zeros(16);
}

function succeed(): void {}

/** Answered as ENOSYS, which is no errno of a file system. */
export class NotImplemented extends Error {}

function index(table: Readonly<Record<number, Operation>>): (Operation | undefined)[] {
  const list: (Operation | undefined)[] = [];
  for (const [opcode, operation] of Object.entries(table)) list[Number(opcode)] = operation;
  return list;
}
