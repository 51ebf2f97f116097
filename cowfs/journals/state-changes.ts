/**
 * What of a state a checkpoint holds as changes, beside the columns of its inodes.
 *
 * - (S4) Columns and changes give the same state again, also where it does not show: cookies and numbers that were given
 *   out once stay given out, and replies are forgotten in the same order.
 */
import type { FileId } from "../file-system.ts";
import type { Change, JournalInode, JournalState } from "./state.ts";

export function* listRareChanges(state: JournalState): Generator<Change> {
  for (const slot of state.slots.values()) yield { kind: "slot", slot };
  for (const [directory, time] of state.mountTimes) yield { kind: "mounted", directory, time };
  for (const inode of state.inodes.values()) yield* listRareInodeChanges(inode);
  for (const [key, bytes] of state.replies) yield { kind: "reply", key, bytes };
  for (const pin of state.pins.values()) yield { kind: "pin", pin };
  yield { kind: "skip", nextInode: state.nextInode };
}

/** The inodes that columns do not hold wholly. */
export function listRareInodes(state: JournalState): FileId[] {
  const rare: FileId[] = [];
  for (const { id, verifier, large, extendedAttributes } of state.inodes.values())
    if (verifier !== undefined || large !== undefined || extendedAttributes !== undefined) rare.push(id);
  return rare;
}

function* listRareInodeChanges(inode: JournalInode): Generator<Change> {
  const { id } = inode;
  if (inode.verifier !== undefined) yield { kind: "put", inode };
  if (inode.large !== undefined) {
    yield { kind: "large", id, size: inode.large.size };
    // The checksum is of the bytes as they were written; who takes this in relies on their sync instead (C3).
    for (const [region, extents] of inode.large.regions)
      for (const extent of extents) yield { kind: "lay", id, extent, checksum: 0, region };
  }
  for (const [name, value] of inode.extendedAttributes ?? []) yield { kind: "attribute", id, name, value };
}
