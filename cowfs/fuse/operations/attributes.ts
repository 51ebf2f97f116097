import type { AttributeChange, FileId, Time } from "../../file-system.ts";
import { replyAttributes } from "../attributes.ts";
import { idOf, kernel, type MountContext, type Operation } from "../mount-context.ts";
import { pageBytes, SetAttribute } from "../protocol.ts";
import type { Request } from "../request.ts";

export const getAttributes: Operation = (context, request) => replyAttributes(context, idOf(context, request));

/** fuse_setattr_in. */
export const setAttributes: Operation = (context, request) => {
  const id = idOf(context, request);
  const valid = request.word(0);
  const has = (bit: number) => (valid & bit) !== 0;
  const change: AttributeChange = {};
  if (has(SetAttribute.mode)) change.mode = request.word(68) & 0o7777;
  if (has(SetAttribute.uid)) change.uid = request.word(76);
  if (has(SetAttribute.gid)) change.gid = request.word(80);
  if (has(SetAttribute.size)) change.size = request.offset(16);
  if (has(SetAttribute.accessed)) change.accessed = has(SetAttribute.accessedNow) ? "now" : timeAt(request, 32, 56);
  if (has(SetAttribute.modified)) change.modified = has(SetAttribute.modifiedNow) ? "now" : timeAt(request, 40, 60);
  context.change(() => {
    context.fileSystem.setAttributes(kernel, id, change);
    if (has(SetAttribute.killSetIds) && change.size !== undefined) dropSetIds(context, id);
  });
  replyAttributes(context, id);
};

/**
 * What a write or truncation by anyone without CAP_FSETID does; the kernel knows who has it and says so. It does not
 * expect that the mode changes, though, and would run the program with the set-ID bits that it remembers.
 */
export function dropSetIds(context: MountContext, id: FileId): void {
  const { fileSystem } = context;
  const mode = fileSystem.getAttributes(id).mode & 0o7777;
  const left = mode & ~0o4000 & ~((mode & 0o010) !== 0 ? 0o2000 : 0);
  if (left === mode) return;
  fileSystem.setAttributes(kernel, id, { mode: left });
  context.invalidateAttributes(id);
}

export const statistics: Operation = ({ fileSystem, reply }) => {
  const { totalBytes, freeBytes, availableBytes, totalFiles, freeFiles } = fileSystem.statistics();
  for (const bytes of [totalBytes, freeBytes, availableBytes]) reply.long(Math.floor(bytes / pageBytes));
  reply.long(totalFiles);
  reply.long(freeFiles);
  reply.word(pageBytes);
  reply.word(255);
  reply.word(pageBytes);
  reply.zeros(28);
};

function timeAt(request: Request, secondsOffset: number, nanosecondsOffset: number): Time {
  return { seconds: request.signedLong(secondsOffset), nanoseconds: request.word(nanosecondsOffset) };
}
