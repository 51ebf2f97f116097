import { lstat } from "node:fs/promises";
import { XenoError } from "../../cowfs/errors.ts";
import type { TreeNode } from "../../cowfs/trees/node.ts";
import type { ContentSink } from "../../xenostore/publish/content-sink.ts";
import type { ImportOptions } from "./import-options.ts";
import { importTar } from "./import-tar.ts";
import { streamCommand } from "./stream-command.ts";

/**
 * Reads a directory into nodes: what tar(1) sees of it, on its own file system only.
 *
 * By way of tar because Node has no extended attributes and cannot name files that are not UTF-8 without races; holes
 * of sparse files are read as zeros, which are one chunk however long they are. Sockets are left out, as tar does.
 *
 * Throws XenoError `import-failed`; a directory that changes while it is read is such a failure.
 */
export async function importDirectory(
  directory: string,
  sink: ContentSink,
  options: ImportOptions = {},
): Promise<TreeNode> {
  const fail = (reason: string, cause?: unknown) =>
    new XenoError("import-failed", `${directory} cannot be imported: ${reason}`, {
      hint: "see that it is a directory that you can read and that nothing writes there; then import it again",
      cause,
    });
  const found = await lstat(directory).catch((error: Error) => {
    throw fail(error.message, error);
  });
  if (!found.isDirectory()) throw fail("it is not a directory");
  const flags = ["--format=pax", "--pax-option=delete=atime,delete=ctime", "--sort=name", "--numeric-owner"];
  const what = ["--xattrs", "--xattrs-include=*", "--one-file-system", "--warning=no-file-ignored"];
  return streamCommand(
    {
      command: ["tar", "--create", ...flags, ...what, "--directory", directory, "."],
      env: { ...process.env, LC_ALL: "C" },
      signal: options.signal,
      fail,
    },
    (stdout) => importTar(stdout, sink, options),
  );
}
