/**
 * Publishing a tree: content in, signed ref out.
 *
 * Add the content of every file, build the nodes with the pieces that come back, commit the root. Chunks that the
 * ancestors hold are not sent. Objects are named by their hashes and the ref is written last, so an interrupted
 * publication leaves objects that nobody sees, and running it again sends only what is missing.
 *
 * This thread cuts, hashes and looks up; others compress (bench/README.md, "store", says why no more); packs are sent
 * beside that. What is relied on is held by a lease before it is looked at or sent, so that no sweep takes it
 * (xenostore/collect).
 */
import { blake3 } from "@napi-rs/blake-hash";
import PQueue from "p-queue";
import { XenoError } from "../../cowfs/errors.ts";
import { encodeTree } from "../../cowfs/trees/encode.ts";
import type { TreeNode } from "../../cowfs/trees/node.ts";
import type { Piece } from "../../cowfs/trees/tree.ts";
import { cutBuffer, cutChunks } from "../chunking/cut-chunks.ts";
import { Lease } from "../collect/lease.ts";
import type { SigningKey } from "../keys/key-ring.ts";
import { compressorThreads, compressPack } from "../packs/compressor.ts";
import { type ChunkLocation, encodeLayout, type Layout, maxLayoutBytes, openLayout } from "../packs/layout.ts";
import { PackWriter, type RawPack } from "../packs/pack-writer.ts";
import { idKey, maxKept, type Ref, type StoredTree } from "../refs/ref.ts";
import { getIfPresent } from "../stores/get-if-present.ts";
import type { ObjectStore } from "../stores/object-store.ts";
import { putContentObject } from "./content-object.ts";
import type { KnowingSink } from "./content-sink.ts";
import { findPresent } from "./present.ts";
import { type CurrentRef, removeRef, writeRef } from "./write-ref.ts";

export interface PublicationOptions {
  /** Ids of pack maps whose chunks the store may hold: of the template, of earlier versions. What it lost is sent. */
  ancestors?: readonly string[];
  signal?: AbortSignal;
  progress?: (progress: PublicationProgress) => void;
}

export interface PublicationProgress {
  /** Bytes of content seen so far, and of those the bytes that neither the ancestors nor this tree held. */
  readonly contentBytes: number;
  readonly newBytes: number;
  /** Bytes sent to the store, compressed. */
  readonly sentBytes: number;
}

export interface CommitOptions {
  owner: string;
  name: string;
  version: string;
  key: SigningKey;
  /** The trees that this one lies over, strongest first. */
  base?: readonly StoredTree[];
  /** Trees that are needed with it, though it does not lie over them. */
  keeps?: readonly StoredTree[];
  /** What `current` was when this began, from `readCurrent`: somebody who moved it since then wins. */
  replaces?: CurrentRef;
  /** Milliseconds since the epoch. */
  expires?: number;
}

export interface Published {
  readonly treeId: string;
  readonly layoutId: string;
  readonly ref: Ref;
  /** Chunks of the tree that the ancestors did not hold, and their bytes before compression. */
  readonly newChunks: number;
  readonly newBytes: number;
  /** Chunks of the tree that the ancestors held. */
  readonly reusedChunks: number;
  /** Bytes sent to the store: packs, index and pack map. */
  readonly sentBytes: number;
}

/** Packs of 24 MiB that are being sent, or wait to be: with those that are being compressed, this bounds the memory. */
const maxUploads = 4;

export async function beginPublication(store: ObjectStore, options: PublicationOptions = {}): Promise<Publication> {
  const ids = [...new Set(options.ancestors)];
  const lease = new Lease(store, { signal: options.signal });
  try {
    return new Publication(store, lease, await readAncestors(store, lease, ids, options.signal), options);
  } catch (error) {
    await lease.end().catch(() => {});
    throw error;
  }
}

async function readAncestors(
  store: ObjectStore,
  lease: Lease,
  ids: readonly string[],
  signal: AbortSignal | undefined,
): Promise<Ancestors> {
  await lease.protect(ids.map((id) => `layouts/${id}`));
  const layouts: Layout[] = [];
  for (const id of ids) {
    const bytes = await getIfPresent(store, `layouts/${id}`, { maximumBytes: maxLayoutBytes, signal });
    if (bytes !== undefined) layouts.push(openLayout(bytes, id));
  }
  const packs = new Set(layouts.flatMap((layout) => layout.packs()));
  await lease.protect([...packs].map((pack) => `packs/${pack}`));
  return { layouts, packs: await findPresent(store, packs, signal) };
}

/** Ancestors, and which of their packs the store still has: what is gone or was taken away as damaged is sent again. */
interface Ancestors {
  readonly layouts: readonly Layout[];
  readonly packs: ReadonlySet<string>;
}

export class Publication implements KnowingSink {
  readonly #store: ObjectStore;
  readonly #lease: Lease;
  readonly #ancestors: Ancestors;
  readonly #options: PublicationOptions;
  readonly #packs = new PackWriter();
  readonly #compressing = new PQueue({ concurrency: compressorThreads });
  readonly #uploads = new PQueue({ concurrency: maxUploads });
  #failure: unknown;
  #contentBytes = 0;
  #newBytes = 0;
  #sentBytes = 0;

  constructor(store: ObjectStore, lease: Lease, ancestors: Ancestors, options: PublicationOptions) {
    this.#store = store;
    this.#lease = lease;
    this.#ancestors = ancestors;
    this.#options = options;
  }

  /** The pieces of a file with this content. Rejects when the store refuses what was added before. */
  async addContent(source: Buffer | AsyncIterable<Buffer>): Promise<Piece[]> {
    return await this.#addChunks(Buffer.isBuffer(source) ? cutBuffer(source) : cutChunks(source), () => false);
  }

  addPart(source: AsyncIterable<Buffer>, endsAt: (offset: number) => boolean): Promise<Piece[]> {
    return this.#addChunks(cutChunks(source, true), endsAt);
  }

  holds(hash: string): boolean {
    return (this.#packs.location(hash) ?? this.#findInAncestors(Buffer.from(hash, "hex"))) !== undefined;
  }

  async #addChunks(
    chunks: Iterable<Buffer> | AsyncIterable<Buffer>,
    endsAt: (offset: number) => boolean,
  ): Promise<Piece[]> {
    const pieces: Piece[] = [];
    let offset = 0;
    for await (const chunk of chunks) {
      const hash = blake3(chunk);
      const name = hash.toString("hex");
      pieces.push({ offset, length: chunk.length, hash: name });
      offset += chunk.length;
      this.#contentBytes += chunk.length;
      if (!this.#packs.location(name) && !this.#findInAncestors(hash)) {
        this.#newBytes += chunk.length;
        const pack = this.#packs.add(name, chunk);
        if (pack) await this.#take(pack);
      }
      if (endsAt(offset)) break;
    }
    this.#throwIfFailed();
    return pieces;
  }

  /** Seals and signs. Throws `chunk-unknown` for pieces that were not added and that no ancestor holds. */
  async commit(root: TreeNode, options: CommitOptions): Promise<Published> {
    const { owner, name, version, key, base = [], keeps, expires, replaces } = options;
    if (keeps !== undefined) await this.#protectKept(keeps);
    const pack = this.#packs.finish();
    if (pack) await this.#take(pack);
    await this.#compressing.onIdle();
    await this.#uploads.onIdle();
    this.#throwIfFailed();
    const tree = encodeTree(root, base[0]?.tree);
    const { locations, ...counts } = this.#locate(tree.chunks);
    const layout = encodeLayout(locations);
    // What it lies over must be kept as well as the tree itself.
    const below = base.flatMap(({ tree, layout }) => [`trees/${tree}`, `layouts/${layout}`]);
    await this.#lease.protect([`layouts/${layout.id}`, `trees/${tree.id}`, idKey(owner, tree.id), ...below]);
    await this.#put(`layouts/${layout.id}`, layout.bytes);
    await this.#put(`trees/${tree.id}`, tree.index);
    const stored = { tree: tree.id, layout: layout.id };
    const claims: Ref = { owner, name, version, ...stored, base, keeps, created: Date.now(), expires };
    const ref = await writeRef(this.#store, claims, key, { replaces, signal: this.#options.signal });
    if (this.#lease.isLapsed) await this.#requireWhole(ref);
    await this.#lease.end();
    return { treeId: tree.id, layoutId: layout.id, ref, ...counts, sentBytes: this.#sentBytes };
  }

  /** Until the ref is there, the lease keeps them, with all that they are read by. Throws `object-missing`. */
  async #protectKept(kept: readonly StoredTree[]): Promise<void> {
    const { signal } = this.#options;
    if (kept.length > maxKept)
      throw new XenoError("trees-many", `this needs ${kept.length} trees besides itself; ${maxKept} is the most`);
    const named = kept.flatMap(({ tree, layout }) => [`trees/${tree}`, `layouts/${layout}`]);
    await this.#lease.protect(named);
    const packs = new Set<string>();
    for (const { layout } of kept) {
      const bytes = await this.#store.get(`layouts/${layout}`, { maximumBytes: maxLayoutBytes, signal });
      for (const pack of openLayout(bytes, layout).packs()) packs.add(pack);
    }
    await this.#lease.protect([...packs].map((pack) => `packs/${pack}`));
    const there = await findPresent(this.#store, packs, signal);
    for (const pack of packs)
      if (!there.has(pack))
        throw new XenoError("object-missing", `packs/${pack} is gone from ${this.#store.name}, and is needed`, {
          hint: "Publish the overlay and the template that it belongs to again: xeno store check tells which.",
        });
  }

  /** This process was stopped for so long that a sweep may have come before our ref: then the ref must go again. */
  async #requireWhole(ref: Ref): Promise<void> {
    for (const key of this.#lease.objects) {
      if ((await this.#store.stat(key)) !== undefined) continue;
      await removeRef(this.#store, ref);
      throw new XenoError("publication-lapsed", `${key} was swept while this publication stood still`, {
        hint: "Publish it again.",
      });
    }
  }

  #locate(chunks: readonly { hash: string; length: number }[]) {
    const locations = new Map<string, ChunkLocation>();
    let newChunks = 0;
    let newBytes = 0;
    for (const { hash, length } of chunks) {
      const own = this.#packs.location(hash);
      const location = own ?? this.#findInAncestors(Buffer.from(hash, "hex"));
      if (!location)
        throw new XenoError("chunk-unknown", `chunk ${hash} is neither in this publication nor in its ancestors`, {
          hint: "Name the pack map of every tree whose pieces are used as an ancestor.",
        });
      locations.set(hash, location);
      if (own) {
        newChunks++;
        newBytes += length;
      }
    }
    return { locations, newChunks, newBytes, reusedChunks: chunks.length - newChunks };
  }

  #findInAncestors(hash: Buffer): ChunkLocation | undefined {
    for (const layout of this.#ancestors.layouts) {
      const chunk = layout.find(hash);
      if (chunk === -1) continue;
      const location = layout.location(chunk);
      if (this.#ancestors.packs.has(location.frame.pack)) return location;
    }
    return undefined;
  }

  /** Begins to compress and to send a pack; waits only when too many are under way. */
  async #take(pack: RawPack): Promise<void> {
    this.#throwIfFailed();
    await this.#compressing.onSizeLessThan(1);
    void this.#compressing.add(async () => {
      try {
        const { hash, bytes } = await compressPack(pack);
        await this.#uploads.onSizeLessThan(1);
        void this.#uploads.add(() => this.#send(`packs/${hash}`, bytes));
      } catch (error) {
        this.#failure ??= error;
      }
    });
  }

  async #send(key: string, bytes: Buffer): Promise<void> {
    try {
      this.#throwIfFailed();
      await this.#lease.protect([key]);
      await this.#put(key, bytes);
    } catch (error) {
      this.#failure ??= error;
    }
  }

  async #put(key: string, bytes: Buffer): Promise<void> {
    this.#throwIfFailed();
    // The sum is read after the wait: others add to it meanwhile.
    const sent = await putContentObject(this.#store, key, bytes, this.#options.signal);
    this.#sentBytes += sent;
    this.#options.progress?.({
      contentBytes: this.#contentBytes,
      newBytes: this.#newBytes,
      sentBytes: this.#sentBytes,
    });
  }

  #throwIfFailed(): void {
    this.#options.signal?.throwIfAborted();
    if (this.#failure !== undefined) throw this.#failure;
  }
}
