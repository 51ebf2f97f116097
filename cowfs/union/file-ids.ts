/**
 * File ids: slot * 2^40 + inode number. Slot 0 is the journal; slot 1 is the layer at the root, slots from 2 on are
 * layers that a `.mount` file brought in. A directory's id is that of the strongest layer it was first seen in.
 */
import type { FileId } from "../file-system.ts";

const slotSize = 2 ** 40;
export const maxSlots = 2 ** 13;
export const baseSlot = 1;
/** The root's id, whether or not there is a layer below the journal. */
export const rootId: FileId = baseSlot * slotSize;

export function makeFileId(slot: number, inode: number): FileId {
  return slot * slotSize + inode;
}

export function slotOf(id: FileId): number {
  return Math.floor(id / slotSize);
}

export function inodeOf(id: FileId): number {
  return id % slotSize;
}
