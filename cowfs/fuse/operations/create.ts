/** Making files, directories, links and special files. What is made belongs to the caller, as the header names it. */
import { constants } from "node:fs";
import { type AttributeChange, type FileId, FileType } from "../../file-system.ts";
import { decodeDevice, replyEntry } from "../attributes.ts";
import { idOf, kernel, type MountContext, type Operation } from "../mount-context.ts";
import type { Request } from "../request.ts";

/** fuse_create_in: open(2) with O_CREAT of a name that the kernel believes absent. */
export const createFile: Operation = (context, request) => {
  const flags = request.word(0);
  const kind = (flags & constants.O_EXCL) === 0 ? "unchecked" : "guarded";
  const size = (flags & constants.O_TRUNC) === 0 ? {} : { size: 0 };
  make(context, request, request.word(4), (directory, change) =>
    context.fileSystem.createFile(kernel, directory, request.name(16), { ...change, ...size }, { kind }),
  );
  // fuse_open_out: no file handle, for there is nothing to keep about an open file.
  context.reply.zeros(16);
};

export const createDirectory: Operation = (context, request) => {
  make(context, request, request.word(0), (directory, change) =>
    context.fileSystem.createDirectory(kernel, directory, request.name(8), change),
  );
};

export const createSymlink: Operation = (context, request) => {
  const name = request.name(0);
  const target = request.name(name.length + 1);
  make(context, request, 0o777, (directory, change) =>
    context.fileSystem.createSymlink(kernel, directory, name, target, change),
  );
};

/** fuse_mknod_in. */
export const createSpecial: Operation = (context, request) => {
  const mode = request.word(0);
  const type = mode & FileType.mask;
  const { major, minor } = decodeDevice(request.word(4));
  const name = request.name(16);
  make(context, request, mode, (directory, change) =>
    type === FileType.regular
      ? context.fileSystem.createFile(kernel, directory, name, change, { kind: "guarded" })
      : context.fileSystem.createSpecial(kernel, directory, name, type, major, minor, change),
  );
};

function make(
  context: MountContext,
  request: Request,
  mode: number,
  create: (directory: FileId, change: AttributeChange) => FileId,
): void {
  const directory = idOf(context, request);
  const change: AttributeChange = { mode: mode & 0o7777, uid: request.uid };
  // A set-group-ID directory gives its own group.
  if ((context.fileSystem.getAttributes(directory).mode & 0o2000) === 0) change.gid = request.gid;
  let id: FileId = 0;
  context.change(() => {
    id = create(directory, change);
  });
  replyEntry(context, id);
}
