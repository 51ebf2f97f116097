/**
 * Sealing: what a journal changed, as the nodes of a tree that lies over the same layers (DESIGN 3).
 *
 * - (P1) Only what differs from the layers is in the tree: changed inodes under every name that shows them, new names,
 *   whiteouts, and the directories on the way to them.
 * - (P2) A directory that was moved is sealed whole and opaque, so the overlay depends on no path of its base. Its
 *   files name chunks that the base holds, so nothing of it is sent.
 * - (P3) Nothing is read of a file whose bytes all lie in the layer below, and of another only what lies about its changes
 *   (seal-content.ts).
 * - (P4) What was made in a directory that only a layer over the journal has is under that directory's name: the
 *   `.mount` that brings the layer is in the tree as well.
 * - (P5) Live layers are no part of an overlay: the `.mount` that names one is, and brings it again where the overlay is
 *   deployed. What the journal has changed of one is refused, since its bytes have no names in a store.
 */
import { XenoError } from "../../cowfs/errors.ts";
import { runWithFaults } from "../../cowfs/fault.ts";
import { type FileId, FileType, type Name } from "../../cowfs/file-system.ts";
import { hidden } from "../../cowfs/journals/entries.ts";
import type { TreeNode } from "../../cowfs/trees/node.ts";
import type { Piece } from "../../cowfs/trees/tree.ts";
import type { UnionCore } from "../../cowfs/union/core.ts";
import { readExtendedAttributes } from "../../cowfs/union/extended-attributes.ts";
import { slotOf } from "../../cowfs/union/file-ids.ts";
import { isLiveSlot } from "../../cowfs/union/layer-table.ts";
import { readLink } from "../../cowfs/union/reading.ts";
import type { KnowingSink } from "./content-sink.ts";
import { sealContent } from "./seal-content.ts";

/** The changes of a union's journal as a root node. Faults are brought; rejects with what cannot be brought. */
export async function sealUnion(
  core: UnionCore,
  rootId: FileId,
  sink: KnowingSink,
  signal: AbortSignal,
): Promise<TreeNode> {
  const plan = await planSeal(core, rootId, signal);
  const nodes = new Map<FileId, TreeNode>();
  for (const id of plan.files) nodes.set(id, await sealInode(core, id, sink, signal));
  return await runWithFaults(() => plan.build(nodes), signal);
}

/** What a journal changed, without its content. */
export interface SealPlan {
  readonly root: PlannedDirectory;
  /** Every inode but directories that the tree holds. */
  readonly files: ReadonlySet<FileId>;
  build(nodes: ReadonlyMap<FileId, TreeNode>): TreeNode;
}

/** One directory of the tree to be. */
export interface PlannedDirectory {
  readonly id: FileId;
  readonly opaque: boolean;
  readonly children: Map<Name, PlannedDirectory | FileId | "whiteout">;
}

export async function planSeal(core: UnionCore, rootId: FileId, signal: AbortSignal): Promise<SealPlan> {
  return await runWithFaults(() => planNow(core, rootId), signal);
}

function planNow(core: UnionCore, rootId: FileId): SealPlan {
  requireNothingLive(core);
  const covering = findCoveringDirectories(core);
  const files = new Set<FileId>();
  // A file of a moved directory may have another name that was not moved: both must show one inode, so the walk is
  // made again with what the first one found.
  let root: PlannedDirectory;
  let known: number;
  do {
    known = files.size;
    root = planDirectory(core, rootId, false, files, covering) ?? { id: rootId, opaque: false, children: new Map() };
  } while (files.size > known);
  return { root, files, build: (nodes) => buildDirectory(core, root, nodes) };
}

/** Throws `overlay-unsealable` where the journal holds anything of a live layer (P5). */
function requireNothingLive(core: UnionCore): void {
  for (const id of core.journal.state.inodes.ids()) if (isLive(core, id)) throw unsealable(core, id);
}

/** By what the journal knows: the layer may not be open, since no `.mount` that names it has been read yet. */
function isLive(core: UnionCore, id: FileId): boolean {
  const slot = core.journal.state.slots.get(slotOf(id));
  return slot !== undefined && isLiveSlot(slot);
}

function describePlace(core: UnionCore, id: FileId): string {
  const { mode } = core.journal.state.get(id);
  const { tree, inode } = core.stack.locate(id);
  if ((mode & FileType.mask) === FileType.directory && tree.nameOf(inode) !== "")
    return `the directory ${JSON.stringify(tree.nameOf(inode))}`;
  return `inode ${id} (\`find -inum ${id}\` tells its name)`;
}

function unsealable(core: UnionCore, id: FileId): XenoError {
  const { url } = core.journal.state.slots.get(slotOf(id))!;
  return new XenoError(
    "overlay-unsealable",
    `the journal has changed ${describePlace(core, id)} of the live layer ${url}, which cannot be published`,
    {
      hint: "Copy what you changed there to a directory of your own and remove it where it is; or publish the layer's content as an overlay, and mount that.",
    },
  );
}

/** What of a directory belongs into the tree; undefined when it is as it is below. `whole`: all that it shows. */
function planDirectory(
  core: UnionCore,
  id: FileId,
  whole: boolean,
  files: Set<FileId>,
  covering: ReadonlyMap<FileId, ReadonlyMap<Name, FileId>>,
): PlannedDirectory | undefined {
  const directory = core.directory(id);
  const own = core.journal.state.inodes.get(id);
  const children: PlannedDirectory["children"] = new Map();
  const add = (name: Name, child: FileId, below: FileId | undefined) => {
    if (isLive(core, child)) return;
    const isMerged = below !== undefined && core.isDirectory(child) && core.directory(child).mergedWith === below;
    const inPlace = !whole && (below === child || isMerged);
    if (core.isDirectory(child)) {
      const planned = planDirectory(core, child, !inPlace, files, covering);
      if (planned !== undefined) children.set(name, { ...planned, opaque: !inPlace && below !== undefined && !whole });
    } else if (!inPlace || core.journal.state.inodes.has(child) || files.has(child)) {
      files.add(child);
      children.set(name, child);
    }
  };
  for (const entry of own?.entries.after(0) ?? []) {
    const below = core.stack.find(directory, entry.name);
    if (entry.id !== hidden) add(entry.name, entry.id, below);
    else if (below !== undefined && !whole) children.set(entry.name, "whiteout");
  }
  for (const { name, id: child } of core.stack.list(directory))
    if (own?.entries.get(name) === undefined) add(name, child, child);
  for (const [name, child] of covering.get(id) ?? []) {
    const planned = planDirectory(core, child, false, files, covering);
    if (planned !== undefined) children.set(name, { ...planned, opaque: children.get(name) === "whiteout" });
  }
  const changed = whole || own !== undefined || children.size > 0;
  return changed ? { id, opaque: false, children } : undefined;
}

/** The directories of layers over the journal in which something was made, and those above them: by parent and name. */
function findCoveringDirectories(core: UnionCore): ReadonlyMap<FileId, ReadonlyMap<Name, FileId>> {
  const found = new Map<FileId, Map<Name, FileId>>();
  for (const id of core.journal.state.inodes.ids()) {
    for (let at = id; core.stack.isOver(at); ) {
      const above = core.covers.findParent(at);
      if (above === 0) break;
      const { tree, inode } = core.stack.locate(at);
      const names = found.get(above) ?? new Map();
      found.set(above, names.set(tree.nameOf(inode), at));
      at = above;
    }
  }
  return found;
}

function buildDirectory(core: UnionCore, planned: PlannedDirectory, nodes: ReadonlyMap<FileId, TreeNode>): TreeNode {
  const children = new Map<Name, TreeNode | "whiteout">();
  for (const [name, child] of planned.children) {
    if (child === "whiteout") children.set(name, child);
    else children.set(name, typeof child === "number" ? nodes.get(child)! : buildDirectory(core, child, nodes));
  }
  return { ...describe(core, planned.id), size: 0, opaque: planned.opaque, children };
}

async function sealInode(core: UnionCore, id: FileId, sink: KnowingSink, signal: AbortSignal): Promise<TreeNode> {
  const node = await runWithFaults(() => describe(core, id), signal);
  const type = node.mode & FileType.mask;
  if (type === FileType.symlink)
    return { ...node, size: 0, target: await runWithFaults(() => readLink(core, id), signal) };
  if (type !== FileType.regular) return { ...node, size: 0 };
  const inode = core.journal.state.inodes.get(id);
  if (inode?.large !== undefined)
    throw new XenoError("file-too-large", `a file of ${inode.large.size} bytes cannot be published`, {
      hint: `A sealed tree holds files below 2^53 bytes. It is inode ${id}: \`find -inum ${id}\` tells its name.`,
    });
  const below = slotOf(id) === 0 ? undefined : lowerPieces(core, id);
  if (below !== undefined && (inode === undefined || core.hasLayerContent(inode))) return { ...node, pieces: below };
  return { ...node, pieces: await sealContent(core, inode!, below, sink, signal) };
}

function describe(core: UnionCore, id: FileId): TreeNode {
  const { mode, uid, gid, size, modified, deviceMajor, deviceMinor } = core.attributes(id);
  const attributes = new Map(readExtendedAttributes(core, id));
  return { mode, uid, gid, size, modified, deviceMajor, deviceMinor, attributes };
}

function lowerPieces(core: UnionCore, id: FileId): Piece[] | undefined {
  const { tree, inode } = core.stack.locate(id);
  return tree.pieces(inode);
}
