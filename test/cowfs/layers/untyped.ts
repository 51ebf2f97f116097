/** A file system of this machine whose directories do not tell the types of what is in them (DT_UNKNOWN of readdir(3)), as AFS and others. */
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import type { TestFn } from "ava";

const imageBytes = 64 * 1024 * 1024;

export interface UntypedDirectory {
  /** Known once the file's tests run. */
  readonly directory: string;
}

/** ext2 without its feature `filetype`, for the tests of a file. */
export function mountUntyped(test: TestFn): UntypedDirectory {
  const mounted = { directory: "" };
  let scratch = "";
  test.before(() => {
    scratch = fs.mkdtempSync(path.join(os.tmpdir(), "xeno-untyped-"));
    const image = path.join(scratch, "image");
    fs.writeFileSync(image, "");
    fs.truncateSync(image, imageBytes);
    execFileSync("mke2fs", ["-q", "-t", "ext2", "-I", "256", "-O", "^filetype", image]);
    const directory = path.join(scratch, "mounted");
    fs.mkdirSync(directory);
    execFileSync("mount", ["-o", "loop", image, directory]);
    mounted.directory = directory;
  });
  test.after.always(() => {
    if (mounted.directory !== "") execFileSync("umount", ["--lazy", mounted.directory]);
    if (scratch !== "") fs.rmSync(scratch, { recursive: true });
  });
  return mounted;
}
