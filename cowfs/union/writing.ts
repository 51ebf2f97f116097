/** WRITE: bytes go to the journal's segments; the file keeps what it did not overwrite, wherever that lies. */
import type { Caller, FileId } from "../file-system.ts";
import { countOwnBytes } from "../journals/extents.ts";
import type { UnionCore } from "./core.ts";
import { dropCapabilities } from "./extended-attributes.ts";
import { modeAfterWrite, requireWritable } from "./permissions.ts";
import { requireRegular } from "./reading.ts";
import { findThrough, writeThrough } from "./through.ts";
import { requireSize } from "./values.ts";

export function writeFile(core: UnionCore, caller: Caller, id: FileId, offset: number, data: Buffer): void {
  const before = core.attributes(id);
  requireRegular(before.mode);
  const through = findThrough(core, id);
  if (through === undefined) core.requireOwn(id, before.mode);
  requireWritable(caller, before);
  requireSize(offset);
  requireSize(offset + data.length);
  if (data.length === 0) return;
  if (through !== undefined) {
    const mode = modeAfterWrite(caller, before);
    writeThrough(core, through, offset, data, mode === before.mode ? undefined : mode & 0o7777);
  }
  const own = core.find(id)?.extents ?? [];
  const { address, checksum } = core.journal.room.append(data, countOwnBytes(own, offset, offset + data.length));
  const inode = core.copyUp(id);
  core.journal.apply({ kind: "lay", id, extent: { offset, length: data.length, address }, checksum });
  dropCapabilities(core, inode);
  const time = core.clock();
  core.journal.apply({
    kind: "wrote",
    id,
    size: Math.max(inode.size, offset + data.length),
    mode: modeAfterWrite(caller, inode),
    time,
  });
  core.noteContent(id, time);
}
