/** In which paths two trees differ, from their indexes alone: no content is read. */
import { FileType } from "../../cowfs/file-system.ts";
import { type Tree, whiteout } from "../../cowfs/trees/tree.ts";

export interface TreeChange {
  /** Added, removed, changed. */
  readonly sign: "+" | "-" | "~";
  /** Without a slash at its beginning; a whiteout is a path that is added, too. */
  readonly path: string;
}

/** In the order of the paths. What lies in a directory that is only in one of them is told path by path. */
export function diffTrees(before: Tree, after: Tree): TreeChange[] {
  const changes: TreeChange[] = [];
  const waiting: { path: string; one: number | undefined; other: number | undefined }[] = [
    { path: "", one: 0, other: 0 },
  ];
  for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
    const { path, one, other } = at;
    const sign = one === undefined ? "+" : other === undefined ? "-" : isSame(before, one, after, other) ? "" : "~";
    if (sign !== "") changes.push({ sign, path });
    const [mine, theirs] = [listEntries(before, one), listEntries(after, other)];
    for (const name of [...new Set([...mine.keys(), ...theirs.keys()])].sort().reverse())
      waiting.push({ path: path === "" ? name : `${path}/${name}`, one: mine.get(name), other: theirs.get(name) });
  }
  return changes;
}

function listEntries(tree: Tree, inode: number | undefined): Map<string, number> {
  const entries = new Map<string, number>();
  if (inode === undefined || inode === whiteout || !isType(tree, inode, FileType.directory)) return entries;
  const first = tree.firstEntry(inode);
  for (let entry = first; entry < first + tree.entryCount(inode); entry++)
    entries.set(Buffer.from(tree.entryName(entry), "latin1").toString(), tree.entryInode(entry));
  return entries;
}

function isSame(before: Tree, one: number, after: Tree, other: number): boolean {
  if (one === whiteout || other === whiteout) return one === other;
  const [mine, theirs] = [describe(before, one), describe(after, other)];
  return mine === theirs;
}

function describe(tree: Tree, inode: number): string {
  const type = tree.mode(inode) & FileType.mask;
  const attributes = [...tree.extendedAttributes(inode)].map(([name, value]) => [name, value.toString("base64")]);
  return JSON.stringify([
    ...[tree.mode(inode), tree.uid(inode), tree.gid(inode), attributes],
    type === FileType.symlink ? tree.linkTarget(inode) : "",
    type === FileType.regular ? [tree.size(inode), tree.pieces(inode)] : "",
    type === FileType.directory ? tree.isOpaque(inode) : "",
    [tree.deviceMajor(inode), tree.deviceMinor(inode)],
  ]);
}

function isType(tree: Tree, inode: number, type: number): boolean {
  return (tree.mode(inode) & FileType.mask) === type;
}
