/**
 * Checkpoints to XenoStore and back: publishing one of this XenoServer's, and making a suspended domain of one that another
 * XenoServer published. That domain is then resumed like any other.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { XenoError } from "../../cowfs/errors.ts";
import type { Layers } from "../../templates/layers/open-layers.ts";
import { loadKey } from "../../xenostore/keys/key-ring.ts";
import type { StoredTree } from "../../xenostore/refs/ref.ts";
import type { ObjectStore } from "../../xenostore/stores/object-store.ts";
import { fetchFiles, readManifest, requireCheckpointUrl } from "../checkpoints/fetch-checkpoint.ts";
import type { CheckpointManifest } from "../checkpoints/manifest.ts";
import { type PublishedCheckpoint, publishCheckpoint } from "../checkpoints/publish-checkpoint.ts";
import { loadServerIdentity, serverKeyName } from "../identity/tls-identity.ts";
import { chooseName, locateKernel } from "./deployment.ts";
import type { DomainRecord } from "./domain-record.ts";
import type { Host } from "./host.ts";
import { namePin } from "./suspend-domain.ts";

export interface Exchange {
  readonly store: ObjectStore;
  readonly layers: Layers;
  /** With the key that this XenoServer signs by. */
  readonly keysDirectory: string;
}

/** So many earlier checkpoints of a guest are looked at for what need not be sent. */
const maxAncestors = 4;

export async function publishOne(
  host: Host,
  { store, layers, keysDirectory }: Exchange,
  record: DomainRecord,
  number: number | undefined,
  signal: AbortSignal,
): Promise<PublishedCheckpoint & { readonly publicKey: string }> {
  const { records, fileServer, queues } = host;
  const checkpoints = records.checkpointsOf(record.name);
  const manifest = await checkpoints.get(number);
  await loadServerIdentity(keysDirectory);
  const key = await loadKey(keysDirectory, serverKeyName);
  const fork = checkpoints.pathOf(manifest.number, "journal");
  try {
    await queues.run(record.name, async () => {
      await rm(fork, { recursive: true, force: true });
      const journal = join(records.directoryOf(record.name), manifest.journal.directory);
      await fileServer.forkSnapshot({ journal, name: manifest.journal.pin, fork, lineage: "same" });
    });
    const ancestors = (record.publishedLayouts ?? []).slice(-maxAncestors);
    const memoryFile = checkpoints.pathOf(manifest.number, "memory");
    const needed = await locateNeeded(layers, manifest, signal);
    const published = await publishCheckpoint({
      ...{ store, key, server: host.name, manifest, memoryFile, needed, ancestors, signal },
      journal: fork,
    });
    await queues.run(record.name, async () => {
      if (records.find(record.name) !== record) return;
      record.publishedLayouts = [...ancestors, published.layout];
      await records.save(record);
    });
    return { ...published, publicKey: key.publicKey };
  } finally {
    await rm(fork, { recursive: true, force: true });
  }
}

/** Where everything lies that the checkpoint's domain is to be run from, on any XenoServer. */
async function locateNeeded(layers: Layers, manifest: CheckpointManifest, signal: AbortSignal): Promise<StoredTree[]> {
  const { deployment, overlayTree, kernelTree } = manifest;
  const named = [
    { url: deployment.overlay, tree: overlayTree },
    { url: locateKernel(deployment).url, tree: kernelTree },
    ...(manifest.layers ?? []),
  ];
  const found = new Map<string, StoredTree>();
  for (const { url, tree } of named) {
    if (found.has(tree)) continue;
    const { layout, base } = await layers.locate(url, tree, signal);
    for (const stored of [{ tree, layout }, ...base]) if (!found.has(stored.tree)) found.set(stored.tree, stored);
  }
  return [...found.values()];
}

/** What a URL means, if who signed it is trusted for it. */
export async function openPublished(
  { layers }: Exchange,
  url: string,
  signal: AbortSignal,
): Promise<{ readonly manifest: CheckpointManifest; readonly tree: string }> {
  requireCheckpointUrl(url);
  const { tree } = await layers.resolveUrl(url, signal);
  const opened = await layers.open(url, tree, signal);
  try {
    return { manifest: await readManifest(opened.tree, url, signal), tree };
  } finally {
    await opened.close();
  }
}

/** The record of a domain that is to be fetched: it has no guest, and what it needs of the host is not taken yet. */
export function describeFetched(
  host: Host,
  manifest: CheckpointManifest,
  wanted: string | undefined,
  id: string,
): DomainRecord {
  const { deployment, overlayTree, kernelTree, domain } = manifest;
  const named = { ...deployment, id, name: wanted };
  const isTaken = (candidate: string) => host.records.find(candidate) !== undefined;
  const name = chooseName(wanted === undefined ? { ...named, overlay: `xenostore://any/${domain}` } : named, isTaken);
  return {
    format: 1,
    name,
    // The guest has its host name already. Ports are its first XenoServer's to publish.
    deployment: { hostname: domain, ...deployment, id, name, ports: undefined },
    task: id,
    overlayTree,
    kernelTree,
    layers: manifest.layers,
    intent: "suspended",
    state: "deploying",
    link: false,
    exported: false,
    steps: { accepted: Date.now() },
  };
}

/** In the domain's queue, its record saved: whoever finds it cut off removes it. */
export async function fetchOne(
  host: Host,
  { layers }: Exchange,
  record: DomainRecord,
  from: { readonly url: string; readonly tree: string; readonly manifest: CheckpointManifest },
  signal: AbortSignal,
): Promise<void> {
  const { records, fileServer } = host;
  const { url, tree, manifest } = from;
  const checkpoints = records.checkpointsOf(record.name);
  try {
    const opened = await layers.open(url, tree, signal);
    try {
      const memoryFile = await checkpoints.prepare(1);
      await fetchFiles(opened.tree, url, { memoryFile, journal: records.journalOf(record) }, signal);
    } finally {
      await opened.close();
    }
    await fileServer.takeSnapshot({ journal: records.journalOf(record), name: namePin(1) });
    await checkpoints.keep({ ...manifest, number: 1, journal: { directory: "journal", pin: namePin(1) } });
    record.state = "suspended";
    record.checkpoints = 1;
    record.suspendedAt = 1;
    record.ended = Date.now();
    await records.save(record);
  } catch (error) {
    await records.remove(record.name);
    if (error instanceof XenoError || signal.aborted) throw error;
    throw new XenoError("checkpoint-not-fetched", `cannot fetch ${url}: ${(error as Error).message}`, {
      hint: "free disk space under $XENO_HOME",
      cause: error,
    });
  }
}
