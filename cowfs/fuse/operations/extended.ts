/** Extended attributes. The kernel has checked who may; POSIX ACLs do not exist here. */
import { FileSystemError } from "../../errors.ts";
import { idOf, kernel, type MountContext, type Operation } from "../mount-context.ts";

const createFlag = 1;
const replaceFlag = 2;

/** fuse_setxattr_in, in its short form: FUSE_SETXATTR_EXT is for POSIX ACLs. */
export const setExtended: Operation = (context, request) => {
  const length = request.word(0);
  const flags = request.word(4);
  const mode = (flags & createFlag) !== 0 ? "create" : (flags & replaceFlag) !== 0 ? "replace" : "any";
  const name = request.name(8);
  const value = request.data(8 + name.length + 1, length);
  const id = idOf(context, request);
  context.change(() => context.fileSystem.setExtendedAttribute(kernel, id, name, value, mode));
};

export const getExtended: Operation = (context, request) => {
  const value = context.fileSystem.getExtendedAttribute(kernel, idOf(context, request), request.name(8));
  replySized(context, request.word(0), value);
};

/** Lists as the caller: `trusted.` names are root's to see, and the kernel does not filter them. */
export const listExtended: Operation = (context, request) => {
  const caller = { uid: request.uid, gid: request.gid, groups: [] };
  const names = context.fileSystem.listExtendedAttributes(caller, idOf(context, request));
  replySized(context, request.word(0), Buffer.from(names.map((name) => `${name}\0`).join(""), "latin1"));
};

export const removeExtended: Operation = (context, request) => {
  context.change(() => context.fileSystem.removeExtendedAttribute(kernel, idOf(context, request), request.name(0)));
};

/** A size of 0 asks how large the answer is (fuse_getxattr_out). */
function replySized({ reply }: MountContext, room: number, value: Buffer): void {
  if (room === 0) {
    reply.word(value.length);
    reply.word(0);
  } else if (value.length > room) throw new FileSystemError("ERANGE");
  else reply.data(value);
}
