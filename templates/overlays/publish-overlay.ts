/** Publishing an overlay: a journal is sealed over the layers it was made on, a directory or a tarball is taken as it is. */
import { randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import fs from "node:fs/promises";
import { XenoError } from "../../cowfs/errors.ts";
import { holdsJournal } from "../../cowfs/journals/identity.ts";
import { Journal } from "../../cowfs/journals/journal.ts";
import { encodeTree } from "../../cowfs/trees/encode.ts";
import { createFileNode, type TreeNode } from "../../cowfs/trees/node.ts";
import { baseSlot } from "../../cowfs/union/file-ids.ts";
import { mountFileName } from "../../cowfs/union/mount-file.ts";
import { openUnion } from "../../cowfs/union/union.ts";
import type { SigningKey } from "../../xenostore/keys/key-ring.ts";
import type { ContentSink } from "../../xenostore/publish/content-sink.ts";
import { beginPublication, type PublicationProgress, type Published } from "../../xenostore/publish/publication.ts";
import { sealUnion } from "../../xenostore/publish/seal-union.ts";
import { readCurrent } from "../../xenostore/publish/write-ref.ts";
import { formatOverlayUrl, parseOverlayUrl } from "../../xenostore/refs/overlay-url.ts";
import { currentVersion, type StoredTree } from "../../xenostore/refs/ref.ts";
import type { ObjectStore } from "../../xenostore/stores/object-store.ts";
import { importDirectory } from "../import/import-directory.ts";
import type { ImportOptions } from "../import/import-options.ts";
import { importTar } from "../import/import-tar.ts";
import { isLiveUrl } from "../layers/live-policy.ts";
import type { Layers } from "../layers/open-layers.ts";

export interface OverlayPublication {
  readonly layers: Layers;
  readonly store: ObjectStore;
  readonly key: SigningKey;
  /** A journal's directory, any other directory, or a tarball. */
  readonly source: string;
  /** Of a journal: what it showed when that was taken, instead of what it shows now. */
  readonly snapshot?: string;
  /** `xenostore://demo/apache`; without a version it gets one from its content. */
  readonly url: string;
  /** Milliseconds since the epoch: from then on nobody is to begin with it. */
  readonly expires?: number;
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: PublicationProgress) => void;
}

export interface PublishedOverlay extends Published {
  readonly url: string;
  /** Inodes in the overlay, and the bytes of its files. */
  readonly files: number;
  readonly bytes: number;
}

/**
 * Throws what sealing and publishing throw, `version-exists` where another tree has that version, and `pin-unknown` where the
 * journal has no such snapshot.
 */
export async function publishOverlay(wanted: OverlayPublication): Promise<PublishedOverlay> {
  const name = parseOverlayUrl(wanted.url);
  if (holdsJournal(wanted.source))
    return wanted.snapshot === undefined
      ? await publishJournal(wanted, name)
      : await publishSnapshot(wanted, wanted.snapshot, name);
  if (wanted.snapshot !== undefined)
    throw new XenoError("source-missing", `${wanted.source} is no journal, so it has no snapshot ${wanted.snapshot}`, {
      hint: "Name the directory of a journal, or publish what is there now.",
    });
  const found = await fs.stat(wanted.source).catch(() => undefined);
  if (found?.isDirectory() === true)
    return await publishFiles(wanted, name, (sink, options) => importDirectory(wanted.source, sink, options));
  if (found?.isFile() === true)
    return await publishFiles(wanted, name, (sink, options) =>
      importTar(createReadStream(wanted.source), sink, options),
    );
  throw new XenoError("source-missing", `${wanted.source} is no journal, directory or tarball`, {
    hint: "xeno overlay build makes a journal; any directory or tarball can be published as it is.",
  });
}

type Name = ReturnType<typeof parseOverlayUrl>;

/** From a fork beside the journal, which shares its files and goes afterwards. */
async function publishSnapshot(wanted: OverlayPublication, snapshot: string, name: Name): Promise<PublishedOverlay> {
  const fork = `${wanted.source}.publishing-${randomUUID().slice(0, 8)}`;
  try {
    const journal = Journal.open(wanted.source);
    await journal.snapshots.fork(snapshot, fork, "new").finally(() => journal.close());
    return await publishJournal({ ...wanted, source: fork }, name);
  } finally {
    await fs.rm(fork, { recursive: true, force: true });
  }
}

async function publishJournal(wanted: OverlayPublication, name: Name): Promise<PublishedOverlay> {
  const { layers, signal } = wanted;
  const union = await openUnion({ journal: wanted.source, resolve: layers.resolve, signal });
  try {
    // A live layer has no chunks, and is no base: what holds its `.mount` is published, and brings it again.
    const slots = [...union.core.journal.state.slots.values()].filter(({ url }) => !isLiveUrl(url));
    // Opening them again, as recorded, says where their chunks lie.
    for (const { url, identity } of slots) await layers.open(url, identity, signal);
    const base = slots.map(({ identity }) => ({ tree: identity, layout: layers.layoutOf(identity) }));
    const { publication, replaces } = await begin(wanted, name, base);
    const root = await sealUnion(union.core, union.rootId, publication, signal);
    const below = slots.find(({ number }) => number === baseSlot);
    if (below !== undefined)
      await mountBelow(root, await layers.pin(below.url, below.identity, signal), publication, wanted.source);
    return await commit(wanted, name, { publication, replaces }, root, base);
  } finally {
    await union.close();
  }
}

/** What lay below the journal comes to lie below the overlay, by a `.mount` in its root. */
async function mountBelow(root: TreeNode, url: string, sink: ContentSink, source: string): Promise<void> {
  if (root.children!.has(mountFileName))
    throw new XenoError(
      "overlay-unsealable",
      `the journal ${source} over ${url} changes ${mountFileName} in its root`,
      {
        hint: `Put ${mountFileName} back as it was, or build the overlay anew from the layers you want.`,
      },
    );
  const text = Buffer.from(`.\nro ${url}\n`);
  const pieces = await sink.addContent(text);
  root.children!.set(
    mountFileName,
    createFileNode({ permissions: 0o644, modified: root.modified }, pieces, text.length),
  );
}

async function publishFiles(
  wanted: OverlayPublication,
  name: Name,
  read: (sink: ContentSink, options: ImportOptions) => Promise<TreeNode>,
): Promise<PublishedOverlay> {
  const { publication, replaces } = await begin(wanted, name, []);
  const root = await read(publication, { signal: wanted.signal });
  return await commit(wanted, name, { publication, replaces }, root, []);
}

/** What the layers below and the version before hold is not sent again. */
async function begin({ store, key, signal, onProgress }: OverlayPublication, name: Name, base: readonly StoredTree[]) {
  const replaces = await readCurrent(store, name, key, { signal });
  const ancestors = base.map(({ layout }) => layout);
  if (replaces.ref !== undefined) ancestors.push(replaces.ref.layout);
  return { publication: await beginPublication(store, { ancestors, signal, progress: onProgress }), replaces };
}

async function commit(
  { key, expires }: OverlayPublication,
  { owner, name, version: wantedVersion }: Name,
  { publication, replaces }: Awaited<ReturnType<typeof begin>>,
  root: TreeNode,
  base: readonly StoredTree[],
): Promise<PublishedOverlay> {
  const version = wantedVersion === currentVersion ? encodeTree(root, base[0]?.tree).id.slice(0, 12) : wantedVersion;
  const published = await publication.commit(root, { owner, name, version, key, base, replaces, expires });
  return { ...published, ...measure(root), url: formatOverlayUrl({ owner, name, version }) };
}

function measure(root: TreeNode): { files: number; bytes: number } {
  const seen = new Set<TreeNode>([root]);
  let bytes = 0;
  for (const node of seen) {
    bytes += node.size;
    for (const child of node.children?.values() ?? []) if (child !== "whiteout") seen.add(child);
  }
  return { files: seen.size, bytes };
}
