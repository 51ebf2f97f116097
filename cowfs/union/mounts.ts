/**
 * What `.mount` files add to a directory: the text is read, each line becomes a layer, and so do the lines of the
 * `.mount` in the root of each such layer, before and after it.
 *
 * - (U6) A layer cannot bring itself in: a URL that a tree's own `.mount` names, directly or through the trees that it
 *   brought in, is refused where it is among those that brought that tree in. What a client wrote in the journal cannot
 *   recur, for the directory that it wrote it in exists once; its nesting is bounded all the same.
 */
import { XenoError } from "../errors.ts";
import { Fault, type Need } from "../fault.ts";
import type { FileId } from "../file-system.ts";
import { type Layer, whiteout } from "../layers/layer.ts";
import { LiveLayer } from "../layers/live/live-layer.ts";
import { baseSlot, slotOf } from "./file-ids.ts";
import type { Branch, LayerPlace, LayerTable } from "./layer-table.ts";
import { maxBranches, maxNesting } from "./limits.ts";
import { type MountLine, maxMountFileBytes, mountFileName, parseMountFile } from "./mount-file.ts";

export interface MountText {
  readonly text: string;
  /** The layer that the file is in; 0 for the journal. */
  readonly slot: number;
  /** From the root, for messages. */
  readonly path: string;
}

/** The layers that a file brings, strongest first. */
export interface Mounted {
  /** Over the file system that holds the file. */
  readonly stronger: readonly Branch[];
  /** Below it. */
  readonly weaker: readonly Branch[];
}

/** One reading of a file, with the files that it leads to. */
interface Reading {
  readonly at: FileId;
  count: number;
  readonly needs: Need[];
}

export class Mounts {
  readonly #layers: LayerTable;
  /** For each slot, the URLs that brought it in by files of layers, outermost first (U6). */
  readonly #outer = new Map<number, readonly string[]>();

  constructor(layers: LayerTable) {
    this.#layers = layers;
  }

  /**
   * The layers that a `.mount` brings to a directory. What stands before `.` lies over the journal where the file is the
   * journal's (slot 0) or a layer's that does so itself. Throws a XenoError that names file and line, or a Fault.
   */
  read(at: FileId, file: MountText): Mounted {
    if (this.#countNesting(at) >= maxNesting)
      throw new XenoError("mount-too-deep", `${file.path}: there are ${maxNesting} mounted layers around it already`, {
        hint: "Mount the layer in a directory that is not itself in a mounted layer.",
      });
    const url = this.#layers.slot(file.slot)?.url;
    const outer = url === undefined ? [] : [...(this.#outer.get(file.slot) ?? []), url];
    const isOver = this.#layers.slot(file.slot)?.isOver ?? false;
    const reading: Reading = { at, count: 0, needs: [] };
    const { stronger, weaker } = parseMountFile(file.text, file.path);
    const mounted = {
      stronger: this.#open(reading, file, stronger, outer, isOver || file.slot === 0),
      weaker: this.#open(reading, file, weaker, outer, isOver),
    };
    if (reading.needs.length > 0) throw new Fault(reading.needs);
    return mounted;
  }

  #open(
    reading: Reading,
    file: MountText,
    lines: readonly MountLine[],
    outer: readonly string[],
    isOver: boolean,
  ): Branch[] {
    const branches: Branch[] = [];
    for (const { url, line, isWritable } of lines) {
      const place: LayerPlace = { directory: reading.at, url, isOver };
      const where = `${file.path}:${line}`;
      if (outer.includes(url))
        throw new XenoError("mount-cycle", `${where}: '${url}' would hold itself: ${[...outer, url].join(" > ")}`, {
          hint: "Take the line out, or publish the layer anew without it.",
        });
      if (reading.count++ >= maxBranches)
        throw new XenoError("too-many-layers", `${where}: more than ${maxBranches} layers in one directory`);
      const refusal = this.#layers.findRefusal(place);
      if (refusal !== undefined)
        throw new XenoError("mount-refused", `${where}: '${url}' cannot be mounted: ${refusal.message}`, {
          hint: refusal.hint,
          cause: refusal,
        });
      const branch = this.#layers.findOpen(place);
      if (branch === undefined) {
        reading.needs.push(this.#layers.need(place));
        continue;
      }
      if (isWritable) this.#requireWritable(branch, isOver, `${where}: '${url}'`);
      if (isWritable) this.#layers.writtenThrough.add(branch.slot);
      else this.#layers.writtenThrough.delete(branch.slot);
      this.#outer.set(branch.slot, outer);
      branches.push(...this.#openInner(reading, branch, url, outer, isOver));
    }
    return branches;
  }

  #requireWritable({ tree }: Branch, isOver: boolean, what: string): void {
    if (!(tree instanceof LiveLayer))
      throw new XenoError("mount-refused", `${what} cannot be written: it is a sealed layer`, {
        hint: "Write 'ro' before it. What is written goes to the journal.",
      });
    if (!isOver)
      throw new XenoError(
        "mount-refused",
        `${what} would not be written to: '.' is stronger, and takes what is written`,
        {
          hint: "Put the line before '.', in a .mount of this file system itself.",
        },
      );
    if (!tree.isWritable)
      throw new XenoError("mount-refused", `${what} may only be read: the operator does not allow rw`, {
        hint: "Write 'ro' before it, or have it allowed with --allow-layer 'rw …'.",
      });
  }

  /** A layer between those that the `.mount` in its own root brings. */
  #openInner(reading: Reading, branch: Branch, url: string, outer: readonly string[], isOver: boolean): Branch[] {
    const text = readRootMount(branch.tree);
    if (text === undefined) return [branch];
    const file = { text, slot: branch.slot, path: `${url}/${mountFileName}` };
    const { stronger, weaker } = parseMountFile(text, file.path);
    const below = [...outer, url];
    return [
      ...this.#open(reading, file, stronger, below, isOver),
      branch,
      ...this.#open(reading, file, weaker, below, isOver),
    ];
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
