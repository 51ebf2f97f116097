/**
 * From a layer's URL to its open tree: the one place that knows the schemes of `.mount` files and deployments.
 *
 * What a URL resolved to is remembered beside the cache by the tree's id, so that a layer that was here once opens
 * again with the store away. Which tree a journal was made over is the journal's to remember: it passes it as `pinned`.
 */
import fs from "node:fs/promises";
import path from "node:path";
import { XenoError } from "../../cowfs/errors.ts";
import type { ResolveLayer } from "../../cowfs/union/stack.ts";
import type { Trust } from "../../xenostore/keys/key-ring.ts";
import type { Lender } from "../../xenostore/pull/borrow-tree.ts";
import { treesOf } from "../../xenostore/pull/cache-files.ts";
import { keepFile } from "../../xenostore/pull/keep-file.ts";
import { keepRefs } from "../../xenostore/pull/kept-refs.ts";
import { TreeLending } from "../../xenostore/pull/lend-trees.ts";
import type { OpenedTree } from "../../xenostore/pull/open-stored-tree.ts";
import { listRefs, resolveId, resolveRef } from "../../xenostore/pull/resolve-ref.ts";
import type { RetryPolicy } from "../../xenostore/pull/retry.ts";
import { type PullCounters, TreeCache } from "../../xenostore/pull/tree-cache.ts";
import { formatOverlayUrl, overlayScheme, parseOverlayUrl } from "../../xenostore/refs/overlay-url.ts";
import { currentVersion, type Ref, type StoredTree } from "../../xenostore/refs/ref.ts";
import type { ObjectStore } from "../../xenostore/stores/object-store.ts";
import { TraceStore } from "../../xenostore/traces/trace-store.ts";
import { resolveTemplate } from "../names/name-table.ts";
import { findNearNames } from "../names/near-names.ts";
import { formatTemplateName } from "../names/template-name.ts";
import { isLiveUrl, type LivePolicy } from "./live-policy.ts";
import { LiveSources, type OpenedSource } from "./live-sources.ts";

export interface LayersOptions {
  readonly store: ObjectStore;
  readonly trust: Trust;
  /** Trees that were pulled, and what names meant. Processes may share it; one of them at a time owns a tree, others may borrow it. */
  readonly cacheDirectory: string;
  /** The process that owns the trees; without it this one does. */
  readonly lender?: Lender;
  /** Caps what is brought ahead for those that borrow. */
  pace?(bytes: number, signal: AbortSignal): Promise<void>;
  /** What the trees may take of the disk. */
  readonly cacheBytes?: number;
  /** How a store that is away is borne with. */
  readonly retries?: RetryPolicy;
  /** What of the host and its network `.mount` files may reach. Default: nothing. */
  readonly live?: LivePolicy;
  /** Told what a hint was lost for. */
  log?(text: string): void;
}

export interface Layers {
  /** For `openUnion`. Throws `scheme-unknown`, `template-unknown`, `overlay-unknown`, `layer-forbidden`, or what the store throws. */
  readonly resolve: ResolveLayer;
  /** The signed ref that a URL means now, without opening anything. Throws `ref-older` where it was signed before `minimumCreated`, in ms. */
  resolveUrl(url: string, signal?: AbortSignal, minimumCreated?: number): Promise<Ref>;
  /** A tree of a URL, open until `close`. */
  open(url: string, pinned: string | undefined, signal?: AbortSignal): Promise<OpenedTree>;
  /** The files of a live URL (isLiveUrl), until `close`. Throws `layer-malformed`, `layer-forbidden`, `layer-unreachable`. */
  openLive(url: string): Promise<OpenedSource>;
  /** What vouches for a tree that `url` meant once, with what that lies over, whatever its name means now. */
  locate(url: string, tree: string, signal?: AbortSignal): Promise<Ref>;
  /** A URL that means this tree for ever, for a layer that `url` meant. */
  pin(url: string, tree: string, signal?: AbortSignal): Promise<string>;
  /** The pack map of a tree that was opened here. */
  layoutOf(tree: string): string;
  /** What boots of a tree read. */
  readonly traces: TraceStore;
  /** What came into the cache so far. */
  readonly counters: PullCounters;
  /** For the processes that borrow this one's trees. */
  readonly lending: Lender;
  close(): Promise<void>;
}

export function openLayers(options: LayersOptions): Layers {
  const { trust, cacheDirectory, cacheBytes, retries, live, lender, pace, log } = options;
  const store = keepRefs(options.store, path.join(cacheDirectory, "names"));
  const sources = new LiveSources(live ?? { allow: [] });
  const cache = new TreeCache({ store, directory: treesOf(cacheDirectory), maxBytes: cacheBytes, retries, lender });
  const lending = new TreeLending({ open: (stored) => cache.open(stored), pace });
  const remembered = path.join(cacheDirectory, "layouts");
  const seenDirectory = path.join(cacheDirectory, "seen");
  const layouts = new Map<string, string>();
  const opened = new Set<OpenedTree>();

  async function resolveUrl(url: string, signal?: AbortSignal, minimumCreated?: number): Promise<Ref> {
    const options = { seenDirectory, signal, minimumCreated };
    if (url.startsWith("template://")) return await resolveTemplate({ store, trust, options }, url);
    if (url.startsWith(overlayScheme)) return await resolveOverlay(store, trust, url, options);
    throw new XenoError("scheme-unknown", `'${url}' has a scheme that this XenoServer does not serve`, {
      hint: "It serves template:// and xenostore://, and file://, nfs:// and afs:// where its operator allows.",
    });
  }

  async function findPinned(url: string, pinned: string, signal?: AbortSignal): Promise<StoredTree> {
    const known = await fs.readFile(path.join(remembered, pinned), "latin1").catch(() => undefined);
    if (known !== undefined && /^[0-9a-f]{64}$/.test(known)) return { tree: pinned, layout: known };
    return await findRef(url, pinned, signal);
  }

  async function findRef(url: string, pinned: string, signal?: AbortSignal): Promise<Ref> {
    // By its id first: its name may mean another tree by now, or be gone.
    if (url.startsWith("template://")) return await resolveUrl(formatTemplateName({ kind: "id", id: pinned }), signal);
    if (!url.startsWith(overlayScheme)) return await resolveUrl(url, signal);
    const { owner, name } = parseOverlayUrl(url);
    const known = await resolveId(store, trust, owner, pinned, { signal });
    if (known?.name === name) return known;
    const ref = await resolveUrl(url, signal);
    if (ref.tree === pinned) return ref;
    for (const { name: other, version } of await listRefs(store, owner)) {
      if (other !== name || version === currentVersion) continue;
      const older = await resolveRef(store, trust, owner, name, version, { signal });
      if (older.tree === pinned) return older;
    }
    throw new XenoError("layer-gone", `'${url}' was tree ${pinned}, which ${store.name} no longer names`, {
      hint: "Publish that version again, or start from a new journal.",
    });
  }

  async function open(url: string, pinned: string | undefined, signal?: AbortSignal): Promise<OpenedTree> {
    const stored = pinned === undefined ? await resolveUrl(url, signal) : await findPinned(url, pinned, signal);
    const tree = await cache.open({ tree: stored.tree, layout: stored.layout });
    await remember(remembered, stored);
    layouts.set(stored.tree, stored.layout);
    const held: OpenedTree = {
      ...tree,
      close: async () => {
        opened.delete(held);
        await tree.close();
      },
    };
    opened.add(held);
    return held;
  }

  return {
    resolve: async (url, pinned, signal) =>
      isLiveUrl(url) ? (await sources.open(url)).source : (await open(url, pinned, signal)).tree,
    openLive: (url) => sources.open(url),
    resolveUrl,
    open,
    locate: findRef,
    async pin(url, tree, signal) {
      if (url.startsWith("template://")) return formatTemplateName({ kind: "id", id: tree });
      return formatOverlayUrl(await findRef(url, tree, signal));
    },
    layoutOf(tree) {
      const layout = layouts.get(tree);
      if (layout === undefined) throw new Error(`tree ${tree} was not opened here`);
      return layout;
    },
    traces: new TraceStore(store, treesOf(cacheDirectory), log),
    get counters() {
      return cache.counters;
    },
    lending,
    async close() {
      sources.close();
      await lending.close();
      for (const tree of [...opened]) await tree.close();
    },
  };
}

async function resolveOverlay(
  store: ObjectStore,
  trust: Trust,
  url: string,
  options: { seenDirectory: string; signal?: AbortSignal },
): Promise<Ref> {
  const { owner, name, version } = parseOverlayUrl(url);
  try {
    return await resolveRef(store, trust, owner, name, version, options);
  } catch (cause) {
    if (!(cause instanceof XenoError && cause.code === "ref-missing")) throw cause;
    const known = (await listRefs(store, owner)).slice(0, 10_000).map((named) => formatOverlayUrl({ owner, ...named }));
    const near = findNearNames(url, known);
    const hint = near.length > 0 ? `did you mean ${near.join(" or ")}?` : `\`xeno publish\` makes one`;
    throw new XenoError("overlay-unknown", `there is no ${url} in ${store.name}`, { hint, cause });
  }
}

/**
 * The tree's id is the file's name, so writing it again writes the same unless the packs were laid out anew. A disk that is full
 * costs only that the tree may not be opened again while the store is away.
 */
async function remember(directory: string, { tree, layout }: StoredTree): Promise<void> {
  try {
    await keepFile(path.join(directory, tree), layout);
  } catch (error) {
    if (!["ENOSPC", "EDQUOT"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
  }
}
