/**
 * A state as the changes that make it anew: what a checkpoint holds.
 *
 * - (S4) Applying them to an empty state gives the same state, also where it does not show: cookies and numbers that
 *   were given out once stay given out, and replies are forgotten in the same order.
 */
import type { Change, JournalInode, JournalState } from "./state.ts";

export function* listChanges(state: JournalState): Generator<Change> {
  for (const slot of state.slots.values()) yield { kind: "slot", slot };
  for (const [directory, time] of state.mountTimes) yield { kind: "mounted", directory, time };
  for (const inode of state.inodes.values()) yield* listInodeChanges(inode);
  for (const [key, bytes] of state.replies) yield { kind: "reply", key, bytes };
  for (const pin of state.pins.values()) yield { kind: "pin", pin };
  yield { kind: "skip", nextInode: state.nextInode };
}

function* listInodeChanges(inode: JournalInode): Generator<Change> {
  const { id } = inode;
  yield { kind: "put", inode };
  if (inode.merges !== 0) yield { kind: "merge", id, merges: inode.merges };
  // The checksum is of the bytes as they were written; who takes this in relies on their sync instead (C3).
  for (const extent of inode.extents) yield { kind: "lay", id, extent, checksum: 0 };
  for (const [name, value] of inode.extendedAttributes ?? []) yield { kind: "attribute", id, name, value };
  if (inode.entries.nextCookie === 1) return;
  for (const { name, id: entered, cookie } of inode.entries.after(0))
    yield { kind: "enter", directory: id, name, id: entered, cookie };
  yield { kind: "cookies", directory: id, next: inode.entries.nextCookie };
}
