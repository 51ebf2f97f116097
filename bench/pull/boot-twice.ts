/**
 * The service deployed on one XenoServer that has nothing, and then on another one that has nothing but the boot trace
 * which the first one left in the store.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Home } from "../../control/cli/home.ts";
import { deployAndFetch } from "../../control/demo/deploy-and-fetch.ts";
import type { TreeFigures } from "../../control/demo/prepare.ts";
import { removeDomain, startServers } from "../../control/network/start-servers.ts";
import { XenoError } from "../../cowfs/errors.ts";
import { FileServerClient } from "../../xenod/file-server/client.ts";
import { fileServerFiles } from "../../xenod/file-server/files.ts";
import { listCachedFiles, treesOf } from "../../xenostore/pull/cache-files.ts";
import type { StoredTree } from "../../xenostore/refs/ref.ts";
import type { ObjectStore } from "../../xenostore/stores/object-store.ts";
import { traceKey } from "../../xenostore/traces/boot-trace.ts";

export interface BootFigures {
  readonly name: string;
  /** From the command to the page. */
  readonly answerMs: number;
  /** Until the page came: bytes of the template's content that were brought, decompressed. */
  readonly templateBytes: number;
  /** The same of all trees, as they came from the store: because the guest asked, and before it did. */
  readonly demandedBytes: number;
  readonly aheadBytes: number;
  readonly requests: number;
  /** What the guest read of its layers, each chunk once, and of it what was here when it asked. */
  readonly readBytes: number;
  readonly readyBytes: number;
}

export interface BootTwice {
  readonly home: Home;
  readonly store: ObjectStore;
  readonly template: StoredTree;
  readonly overlay: TreeFigures & { readonly url: string };
  readonly directory: string;
  readonly cleanup: AsyncDisposableStack;
  readonly tell: (who: string, what: string) => void;
  readonly signal: AbortSignal;
}

/** On a machine that others use too. */
const deadlineMs = 20 * 60_000;

export async function bootTwice(wanted: BootTwice): Promise<BootFigures[]> {
  const { home, store, template, overlay, directory, tell, signal } = wanted;
  for (const tree of [template.tree, overlay.id]) await store.delete(traceKey(tree));
  const figures: BootFigures[] = [];
  for (const name of ["first", "later"]) {
    await using cleanup = new AsyncDisposableStack();
    const local = await startServers({ home, names: [name], stateDirectory: directory, cleanup, signal, tell });
    const [server] = local.servers;
    const client = new FileServerClient(`${directory}/${name}`);
    cleanup.defer(() => client.close());
    const command = Date.now();
    const { clientNamespace } = local;
    const onStep = (step: string) => tell(name, `${step} at ${((Date.now() - command) / 1000).toFixed(1)} s`);
    const deployment = { server, overlay: overlay.url, clientNamespace, onStep, cleanup, signal, deadlineMs };
    const { answeredAt, domain } = await deployAndFetch(deployment);
    figures.push({ name, answerMs: answeredAt - command, ...(await readFigures(client, directory, name, template)) });
    tell(name, `page after ${((answeredAt - command) / 1000).toFixed(1)} s`);
    if (name === "first") await untilTraced(client, store, overlay.id, signal);
    await removeDomain(server, domain.name, signal);
  }
  return figures;
}

async function readFigures(client: FileServerClient, directory: string, name: string, { tree }: StoredTree) {
  const { pulled, exports, traffic } = await client.status();
  const files = await listCachedFiles(treesOf(fileServerFiles(`${directory}/${name}`).cache));
  const ofTemplate = files.filter((file) => file.tree === tree && file.isContent);
  const { readBytes, readyBytes } = exports[0].boot!;
  return {
    templateBytes: ofTemplate.reduce((sum, { bytes }) => sum + bytes, 0),
    demandedBytes: pulled.demandedBytes,
    aheadBytes: pulled.aheadBytes,
    requests: traffic.reduce((sum, { requests }) => sum + requests, 0),
    readBytes,
    readyBytes,
  };
}

/** The first boot's trace is in the store once nothing new was read for a while. */
async function untilTraced(client: FileServerClient, store: ObjectStore, tree: string, signal: AbortSignal) {
  const end = performance.now() + deadlineMs;
  while ((await store.stat(traceKey(tree))) === undefined) {
    if (performance.now() > end)
      throw new XenoError("trace-missing", "the first boot left no trace in the store", {
        hint: JSON.stringify((await client.status()).exports[0].boot),
      });
    await delay(500, undefined, { signal });
  }
}
