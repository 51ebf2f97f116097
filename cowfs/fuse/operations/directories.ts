/**
 * READDIR and READDIRPLUS. The kernel wants `.` and `..` and an offset after each entry: 1 and 2 for these, then each
 * entry's own cookie + 2.
 */
import { FileType } from "../../file-system.ts";
import { entryBytes, replyEntry } from "../attributes.ts";
import { idOf, kernel, type MountContext, type Operation } from "../mount-context.ts";
import { replyHeaderBytes } from "../protocol.ts";
import type { Request } from "../request.ts";

const direntBytes = 24;
const typicalNameBytes = 16;
const dots = [".", ".."];

export const readDirectory: Operation = (context, request) => list(context, request, false);

/** The same with what LOOKUP would say of each entry, so that `ls -l` and `find` ask for a page of entries at once. */
export const readDirectoryPlus: Operation = (context, request) => list(context, request, true);

function list(context: MountContext, request: Request, plus: boolean): void {
  const { fileSystem, reply } = context;
  const directory = idOf(context, request);
  const offset = request.long(8);
  const room = Math.min(request.word(16), reply.bytes.length - reply.length);
  const fixedBytes = direntBytes + (plus ? entryBytes : 0);
  const end = replyHeaderBytes + room;
  const fits = (name: string) => reply.length + ((fixedBytes + name.length + 7) & ~7) <= end;

  for (let dot = offset; dot < dots.length; dot++) {
    if (!fits(dots[dot])) return;
    // The kernel takes neither an inode nor attributes of dots from here, only that they are there.
    if (plus) reply.zeros(entryBytes);
    putEntry(context, directory, dot + 1, FileType.directory, dots[dot]);
  }
  const cookie = Math.max(0, offset - dots.length);
  const limit = Math.ceil(room / (fixedBytes + typicalNameBytes));
  for (const entry of fileSystem.list(kernel, directory, cookie, limit)) {
    if (!fits(entry.name)) return;
    const { mode } = plus ? replyEntry(context, entry.id) : fileSystem.getAttributes(entry.id);
    putEntry(context, entry.id, entry.cookie + dots.length, mode & FileType.mask, entry.name);
  }
}

/** fuse_dirent. */
function putEntry({ reply }: MountContext, id: number, offset: number, type: number, name: string): void {
  reply.long(id);
  reply.long(offset);
  reply.word(name.length);
  reply.word(type >>> 12);
  reply.text(name);
  reply.align();
}
