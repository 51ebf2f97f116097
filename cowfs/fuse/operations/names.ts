/** Looking up, removing, renaming and linking names. */
import { FileSystemError } from "../../errors.ts";
import type { FileId, Name } from "../../file-system.ts";
import { replyAbsent, replyEntry } from "../attributes.ts";
import { idOf, kernel, type MountContext, type Operation } from "../mount-context.ts";
import { renameNoReplace } from "../protocol.ts";
import type { Request } from "../request.ts";

export const lookUp: Operation = (context, request) => {
  const id = find(context, idOf(context, request), request.name(0));
  if (id === undefined) replyAbsent(context);
  else replyEntry(context, id);
};

export const readLink: Operation = (context, request) => {
  context.reply.text(context.fileSystem.readLink(kernel, idOf(context, request)));
};

export const removeFile: Operation = (context, request) => {
  context.change(() => context.fileSystem.removeFile(kernel, idOf(context, request), request.name(0)));
};

export const removeDirectory: Operation = (context, request) => {
  context.change(() => context.fileSystem.removeDirectory(kernel, idOf(context, request), request.name(0)));
};

export const rename: Operation = (context, request) => renameNames(context, request, 8, 0);

export const renameWithFlags: Operation = (context, request) => renameNames(context, request, 16, request.word(8));

function renameNames(context: MountContext, request: Request, namesOffset: number, flags: number): void {
  // Exchanging names and leaving whiteouts are refused, as by most file systems; renameat2(2) documents it.
  if ((flags & ~renameNoReplace) !== 0) throw new FileSystemError("EINVAL");
  const to = context.nodes.idOf(request.long(0));
  const fromName = request.name(namesOffset);
  const toName = request.name(namesOffset + fromName.length + 1);
  if (flags === renameNoReplace && find(context, to, toName) !== undefined) throw new FileSystemError("EEXIST");
  context.change(() => context.fileSystem.rename(kernel, idOf(context, request), fromName, to, toName));
}

export const link: Operation = (context, request) => {
  const id = context.nodes.idOf(request.long(0));
  context.change(() => context.fileSystem.link(kernel, id, idOf(context, request), request.name(8)));
  replyEntry(context, id);
};

function find({ fileSystem }: MountContext, directory: FileId, name: Name): FileId | undefined {
  try {
    return fileSystem.lookup(kernel, directory, name);
  } catch (thrown) {
    if (thrown instanceof FileSystemError && thrown.code === "ENOENT") return undefined;
    throw thrown;
  }
}
