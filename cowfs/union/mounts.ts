/**
 * What `.mount` files add to a directory: the text is read, each line becomes a layer, and so do the lines of the
 * `.mount` in the root of each such layer, after it.
 *
 * - (U6) A layer cannot bring itself in: a URL that a tree's own `.mount` names, directly or through the trees that it
 *   brought in, is refused where it is among those that brought that tree in. What a client wrote in the journal cannot
 *   recur, for the directory that it wrote it in exists once; its nesting is bounded all the same.
 */
import { XenoError } from "../errors.ts";
import { Fault, type Need } from "../fault.ts";
import type { FileId } from "../file-system.ts";
import { type Layer, whiteout } from "../layers/layer.ts";
import { baseSlot, slotOf } from "./file-ids.ts";
import type { Branch, LayerTable } from "./layer-table.ts";
import { maxMountFileBytes, mountFileName, parseMountFile } from "./mount-file.ts";

const maxNesting = 16;
/** Of one directory, with what the layers' own `.mount` files bring in. */
const maxBranches = 64;

export interface MountText {
  readonly text: string;
  /** The layer that the file is in; 0 for the journal. */
  readonly slot: number;
  /** From the root, for messages. */
  readonly path: string;
}

export class Mounts {
  readonly #layers: LayerTable;
  /** For each slot, the URLs that brought it in by files of layers, outermost first (U6). */
  readonly #outer = new Map<number, readonly string[]>();

  constructor(layers: LayerTable) {
    this.#layers = layers;
  }

  /** The branches that a `.mount` adds at a directory. Throws a XenoError that names file and line, or a Fault. */
  read(at: FileId, file: MountText): Branch[] {
    if (this.#countNesting(at) >= maxNesting)
      throw new XenoError("mount-too-deep", `${file.path}: there are ${maxNesting} mounted layers around it already`, {
        hint: "Mount the layer in a directory that is not itself in a mounted layer.",
      });
    const url = this.#layers.slot(file.slot)?.url;
    const outer = url === undefined ? [] : [...(this.#outer.get(file.slot) ?? []), url];
    const needs: Need[] = [];
    const branches: Branch[] = [];
    this.#add(at, file, outer, branches, needs);
    if (needs.length > 0) throw new Fault(needs);
    return branches;
  }

  #add(at: FileId, file: MountText, outer: readonly string[], branches: Branch[], needs: Need[]): void {
    for (const { url, line } of parseMountFile(file.text, file.path)) {
      const where = `${file.path}:${line}`;
      if (outer.includes(url))
        throw new XenoError("mount-cycle", `${where}: '${url}' would hold itself: ${[...outer, url].join(" > ")}`, {
          hint: "Take the line out, or publish the layer anew without it.",
        });
      if (branches.length >= maxBranches)
        throw new XenoError("too-many-layers", `${where}: more than ${maxBranches} layers in one directory`);
      const refusal = this.#layers.findRefusal(at, url);
      if (refusal !== undefined)
        throw new XenoError("mount-refused", `${where}: '${url}' cannot be mounted: ${refusal.message}`, {
          hint: refusal.hint,
          cause: refusal,
        });
      const branch = this.#layers.findOpen(at, url);
      if (branch === undefined) {
        needs.push(this.#layers.need(at, url));
        continue;
      }
      branches.push(branch);
      this.#outer.set(branch.slot, outer);
      const inner = readRootMount(branch.tree);
      const path = `${url}/${mountFileName}`;
      if (inner !== undefined)
        this.#add(at, { text: inner, slot: branch.slot, path }, [...outer, url], branches, needs);
    }
  }

  /** How many mounted layers a directory is in, one in the other. */
  #countNesting(at: FileId): number {
    let nesting = 0;
    for (let slot = this.#layers.slot(slotOf(at)); slot !== undefined && slot.number !== baseSlot; nesting++)
      slot = this.#layers.slot(slotOf(slot.directory));
    return nesting;
  }
}

function readRootMount(tree: Layer): string | undefined {
  const inode = tree.find(0, mountFileName);
  return inode < 0 || inode === whiteout ? undefined : readMountText(tree, inode);
}

/** The text of a layer's file. Throws a Fault while its bytes are not here. */
export function readMountText(tree: Layer, inode: number): string {
  const text = Buffer.alloc(Math.min(tree.size(inode), maxMountFileBytes + 1));
  tree.read(inode, 0, text.length, text, 0);
  return text.toString("latin1");
}
