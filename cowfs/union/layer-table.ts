/**
 * The layers that this lineage has mounted: a slot for each URL at each directory, and the layers that are open.
 *
 * What a slot resolved to is recorded with it: another tree under the same URL is refused, since file ids, cookies and
 * copied-up files speak of the old one. Of a live layer it is the name of its table of inode numbers, which lies in the
 * journal's folder `live`, and must still be there.
 */
import { randomUUID } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { FileSystemError, XenoError } from "../errors.ts";
import { Fault, type Need } from "../fault.ts";
import type { FileId } from "../file-system.ts";
import type { Journal } from "../journals/journal.ts";
import type { Slot } from "../journals/state.ts";
import type { Layer } from "../layers/layer.ts";
import type { LiveSource } from "../layers/live/live-files.ts";
import { LiveLayer } from "../layers/live/live-layer.ts";
import { baseSlot, maxSlots, rootId } from "./file-ids.ts";

/**
 * Opens the layer that a URL names; `pinned` is the tree's id where this lineage has resolved the URL to a tree before.
 *
 * A rejection with a XenoError is an answer: the directory says EIO, and the URL is tried again some seconds later.
 * With the codes `store-unavailable` and `store-throttled`, and with anything that is no XenoError, it is none: the operation is not done.
 */
export type ResolveLayer = (
  url: string,
  pinned: string | undefined,
  signal: AbortSignal,
) => Promise<Layer | LiveSource>;

const liveIdentity = "live ";

/** Also of a layer that is not open. */
export function isLiveSlot({ identity }: Pick<Slot, "identity">): boolean {
  return identity.startsWith(liveIdentity);
}

/** How long an answer that a layer cannot be had stands. */
export const retryAfterMs = 10_000;
const maxRefusals = 1024;

export class LayerTable {
  readonly #journal: Journal;
  readonly #resolve: ResolveLayer;
  readonly #trees = new Map<number, Layer>();
  readonly #refusals = new Map<string, { error: XenoError; until: number }>();
  readonly #live = new Set<LiveLayer>();
  /** The slots that a `.mount` names `rw`. */
  readonly writtenThrough = new Set<number>();
  /** By place and URL, one after the other: a live layer has one table of numbers, which one opens. */
  readonly #attaching = new Map<string, Promise<void>>();
  readonly #closing = new AbortController();

  constructor(journal: Journal, resolve: ResolveLayer) {
    this.#journal = journal;
    this.#resolve = resolve;
  }

  /** Mounts the layer that lies below the journal at the root. */
  async mountBase(url: string, signal: AbortSignal): Promise<void> {
    const known = this.#journal.state.slots.get(baseSlot);
    if (known !== undefined && known.url !== url)
      throw new XenoError("layer-changed", `this journal lies over ${known.url}, not over ${url}`, {
        hint: "Name the same URL again, or use a new journal.",
      });
    await this.#attach({ directory: rootId, url, isOver: false }, () => baseSlot, signal);
  }

  /** Whether anything here may change by itself. */
  get hasLive(): boolean {
    return this.#live.size > 0;
  }

  /** Closes what is its own; what was resolved is the resolver's. */
  async close(): Promise<void> {
    this.#closing.abort(new XenoError("layer-closed", "the union is closed"));
    await Promise.allSettled(this.#attaching.values());
    await Promise.all([...this.#live].map((layer) => layer.close()));
  }

  /** The tree in a slot. Throws ESTALE, EIO, or a Fault: after a restart a handle may name a layer before its `.mount`
   * has been read. */
  tree(number: number): Layer {
    return this.#trees.get(number) ?? this.#reopen(number);
  }

  slot(number: number): Slot | undefined {
    return this.#journal.state.slots.get(number);
  }

  /** The slot that a URL was given at a directory, where its tree is open. */
  findOpen(place: LayerPlace): Branch | undefined {
    const slot = this.#find(place);
    const tree = slot === undefined ? undefined : this.#trees.get(slot.number);
    return slot === undefined || tree === undefined ? undefined : { slot: slot.number, tree, inode: 0 };
  }

  /** Why a URL cannot be had, if that was found out lately. */
  findRefusal({ directory, url }: LayerPlace): XenoError | undefined {
    const refusal = this.#refusals.get(`${directory} ${url}`);
    return refusal === undefined || refusal.until <= performance.now() ? undefined : refusal.error;
  }

  need(place: LayerPlace): Need {
    const { directory, url, isOver } = place;
    return {
      key: `layer ${directory} ${url}${isOver ? " over" : ""}`,
      bring: (signal) => this.#bring(place, signal),
    };
  }

  async #bring(place: LayerPlace, signal: AbortSignal): Promise<void> {
    const { directory, url } = place;
    try {
      await this.#attach(place, () => this.#nextSlot(), signal);
    } catch (error) {
      if (!(error instanceof XenoError) || isNoAnswer(error)) throw error;
      if (this.#refusals.size >= maxRefusals) this.#refusals.clear();
      this.#refusals.set(`${directory} ${url}`, { error, until: performance.now() + retryAfterMs });
    }
  }

  async #attach(place: LayerPlace, allot: () => number, signal: AbortSignal): Promise<void> {
    const { key } = this.need(place);
    const before = this.#attaching.get(key) ?? Promise.resolve();
    const wanted = AbortSignal.any([signal, this.#closing.signal]);
    const attaching = before.catch(() => {}).then(() => this.#attachNext(place, allot, wanted));
    this.#attaching.set(key, attaching);
    try {
      await attaching;
    } finally {
      if (this.#attaching.get(key) === attaching) this.#attaching.delete(key);
    }
  }

  async #attachNext(place: LayerPlace, allot: () => number, signal: AbortSignal): Promise<void> {
    const { directory, url, isOver } = place;
    const known = this.#find(place);
    if (known !== undefined && this.#trees.has(known.number)) return;
    const pinned = known === undefined || isLiveSlot(known) ? undefined : known.identity;
    signal.throwIfAborted();
    const resolved = await this.#resolve(url, pinned, signal);
    const { identity, layer } = await this.#open(url, known?.identity, resolved, signal);
    if (known !== undefined && identity !== known.identity)
      throw new XenoError(
        "layer-changed",
        `'${url}' is now tree ${identity}, but this journal was made over ${known.identity}`,
        { hint: "Publish the journal and deploy the result over the new tree." },
      );
    const slot = known ?? { number: allot(), directory, url, identity, isOver };
    if (known === undefined) {
      const change = { kind: "slot", slot } as const;
      this.#journal.transact(undefined, () => {
        this.#journal.apply(change);
        return Buffer.alloc(0);
      });
    }
    await this.#journal.sync();
    this.#trees.set(slot.number, layer);
  }

  async #open(
    url: string,
    known: string | undefined,
    resolved: Layer | LiveSource,
    signal: AbortSignal,
  ): Promise<{ identity: string; layer: Layer }> {
    if (!("files" in resolved)) return { identity: resolved.id, layer: resolved };
    const identity = known ?? `${liveIdentity}${randomUUID()}`;
    const numbers = path.join(this.#journal.directory, "live", identity.slice(liveIdentity.length));
    if (known !== undefined && !fs.existsSync(numbers))
      throw new XenoError("layer-gone", `'${url}' was mounted in the journal that this one was copied from`, {
        hint: "Live layers are no part of copies: mount it in another directory.",
      });
    const layer = await LiveLayer.open(resolved, numbers, signal);
    this.#live.add(layer);
    return { identity, layer };
  }

  #find({ directory, url, isOver }: LayerPlace): Slot | undefined {
    for (const slot of this.#journal.state.slots.values())
      if (slot.directory === directory && slot.url === url && slot.isOver === isOver) return slot;
    return undefined;
  }

  #nextSlot(): number {
    const number = Math.max(this.#journal.state.nextSlot, baseSlot + 1);
    if (number >= maxSlots)
      throw new XenoError("too-many-layers", `this journal has had ${maxSlots} layers mounted in its life`, {
        hint: "Publish it and deploy the result: that starts a new journal.",
      });
    return number;
  }

  #reopen(number: number): never {
    const slot = this.slot(number);
    if (slot === undefined) throw new FileSystemError("ESTALE");
    const refusal = this.findRefusal(slot);
    if (refusal !== undefined) throw new FileSystemError("EIO", refusal.message);
    throw new Fault([this.need(slot)]);
  }
}

/** Where a layer is mounted: under the same URL, one that lies over the journal is not the one that lies below it. */
export interface LayerPlace {
  readonly directory: FileId;
  readonly url: string;
  readonly isOver: boolean;
}

/** A directory or file of one layer. */
export interface Branch {
  readonly slot: number;
  readonly tree: Layer;
  readonly inode: number;
}

/** Whether the store could not be asked: what it would say may be had in a moment. */
function isNoAnswer({ code }: XenoError): boolean {
  return code === "store-unavailable" || code === "store-throttled";
}
