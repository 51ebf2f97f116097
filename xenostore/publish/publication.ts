/**
 * Publishing a tree: content in, signed ref out.
 *
 * Add the content of every file, build the nodes with the pieces that come back, commit the root. Chunks that the
 * ancestors hold are not sent. Objects are named by their hashes and the ref is written last, so an interrupted
 * publication leaves objects that nobody sees, and running it again sends only what is missing.
 */
import { blake3 } from "@napi-rs/blake-hash";
import PQueue from "p-queue";
import { XenoError } from "../../cowfs/errors.ts";
import { encodeTree } from "../../cowfs/trees/encode.ts";
import type { TreeNode } from "../../cowfs/trees/node.ts";
import type { Piece } from "../../cowfs/trees/tree.ts";
import { cutBuffer, cutChunks } from "../chunking/cut-chunks.ts";
import type { SigningKey } from "../keys/key-ring.ts";
import { type ChunkLocation, encodeLayout, type Layout, maxLayoutBytes, openLayout } from "../packs/layout.ts";
import { type Pack, PackWriter } from "../packs/pack-writer.ts";
import type { Ref, StoredTree } from "../refs/ref.ts";
import type { ObjectStore } from "../stores/object-store.ts";
import { putContentObject } from "./content-object.ts";
import type { ContentSink } from "./content-sink.ts";
import { writeRef } from "./write-ref.ts";

export interface PublicationOptions {
  /** Ids of pack maps whose chunks the store is known to hold: of the template, of earlier versions. */
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

/** Two packs on the way and one in the making bound the memory: about 64 MiB. */
const maxUploads = 2;

export async function beginPublication(store: ObjectStore, options: PublicationOptions = {}): Promise<Publication> {
  const ancestors: Layout[] = [];
  for (const id of options.ancestors ?? []) {
    const bytes = await store.get(`layouts/${id}`, { maximumBytes: maxLayoutBytes, signal: options.signal });
    ancestors.push(openLayout(bytes, id));
  }
  return new Publication(store, ancestors, options);
}

export class Publication implements ContentSink {
  readonly #store: ObjectStore;
  readonly #ancestors: readonly Layout[];
  readonly #options: PublicationOptions;
  readonly #packs = new PackWriter();
  readonly #uploads = new PQueue({ concurrency: maxUploads });
  #failure: unknown;
  #contentBytes = 0;
  #newBytes = 0;
  #sentBytes = 0;

  constructor(store: ObjectStore, ancestors: readonly Layout[], options: PublicationOptions) {
    this.#store = store;
    this.#ancestors = ancestors;
    this.#options = options;
  }

  /** The pieces of a file with this content. Rejects when the store refuses what was added before. */
  async addContent(source: Buffer | AsyncIterable<Buffer>): Promise<Piece[]> {
    const pieces: Piece[] = [];
    let offset = 0;
    for await (const chunk of Buffer.isBuffer(source) ? cutBuffer(source) : cutChunks(source)) {
      const hash = blake3(chunk);
      const name = hash.toString("hex");
      pieces.push({ offset, length: chunk.length, hash: name });
      offset += chunk.length;
      this.#contentBytes += chunk.length;
      if (this.#packs.location(name) || this.#findInAncestors(hash)) continue;
      this.#newBytes += chunk.length;
      const pack = this.#packs.add(name, chunk);
      if (pack) await this.#send(pack);
    }
    this.#throwIfFailed();
    return pieces;
  }

  /** Seals and signs. Throws `chunk-unknown` for pieces that were not added and that no ancestor holds. */
  async commit(root: TreeNode, options: CommitOptions): Promise<Published> {
    const { owner, name, version, key, base = [], expires } = options;
    const pack = this.#packs.finish();
    if (pack) await this.#send(pack);
    await this.#uploads.onIdle();
    this.#throwIfFailed();
    const tree = encodeTree(root, base[0]?.tree);
    const { locations, ...counts } = this.#locate(tree.chunks);
    const layout = encodeLayout(locations);
    await this.#put(`layouts/${layout.id}`, layout.bytes);
    await this.#put(`trees/${tree.id}`, tree.index);
    const claims: Ref = { owner, name, version, tree: tree.id, layout: layout.id, base, created: Date.now(), expires };
    const ref = await writeRef(this.#store, claims, key);
    return { treeId: tree.id, layoutId: layout.id, ref, ...counts, sentBytes: this.#sentBytes };
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
    for (const ancestor of this.#ancestors) {
      const chunk = ancestor.find(hash);
      if (chunk !== -1) return ancestor.location(chunk);
    }
    return undefined;
  }

  /** Begins to upload; waits only when too many uploads are under way. */
  async #send(pack: Pack): Promise<void> {
    this.#throwIfFailed();
    await this.#uploads.onSizeLessThan(1);
    void this.#uploads.add(() =>
      this.#put(`packs/${pack.hash}`, pack.bytes).catch((error) => {
        this.#failure ??= error;
      }),
    );
  }

  async #put(key: string, bytes: Buffer): Promise<void> {
    this.#throwIfFailed();
    this.#sentBytes += await putContentObject(this.#store, key, bytes, this.#options.signal);
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
