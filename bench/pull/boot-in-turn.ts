/**
 * The service deployed on one XenoServer that has nothing; on another one that has nothing but the boot trace which the
 * first one left in the store; and on a third, once the template was laid out by that trace, as `xeno template update` does.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Home } from "../../control/cli/home.ts";
import { deployAndFetch } from "../../control/demo/deploy-and-fetch.ts";
import type { TreeFigures } from "../../control/demo/prepare.ts";
import { removeDomain, startServers } from "../../control/network/start-servers.ts";
import { XenoError } from "../../cowfs/errors.ts";
import { FileServerClient } from "../../xenod/file-server/client.ts";
import { fileServerFiles } from "../../xenod/file-server/files.ts";
import { loadKey, type SigningKey } from "../../xenostore/keys/key-ring.ts";
import { layOutTrace } from "../../xenostore/publish/lay-out-trace.ts";
import { writeRef } from "../../xenostore/publish/write-ref.ts";
import { listCachedFiles, treesOf } from "../../xenostore/pull/cache-files.ts";
import type { Ref, StoredTree } from "../../xenostore/refs/ref.ts";
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

export interface BootInTurn {
  readonly home: Home;
  readonly store: ObjectStore;
  readonly template: Ref;
  readonly overlay: TreeFigures & { readonly url: string };
  readonly directory: string;
  readonly cleanup: AsyncDisposableStack;
  readonly tell: (who: string, what: string) => void;
  readonly signal: AbortSignal;
}

/** On a machine that others use too. */
const deadlineMs = 20 * 60_000;

export async function bootInTurn(wanted: BootInTurn): Promise<BootFigures[]> {
  const { home, store, overlay, directory, tell, signal } = wanted;
  const key = await loadKey(home.keys, "templates");
  const template = await forgetLayOut(store, wanted.template, key);
  for (const tree of [template.tree, overlay.id]) await store.delete(traceKey(tree));
  const figures: BootFigures[] = [];
  for (const name of ["first", "later", "laid-out"]) {
    if (name === "laid-out") {
      const laidOut = await layOutTrace(store, template, key, { signal });
      tell(name, `what boots read of the template: ${laidOut?.requestsBefore} requests, now ${laidOut?.requests}`);
    }
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

/** An earlier run has left the template laid out: back to the map that it was published with. */
async function forgetLayOut(store: ObjectStore, ref: Ref, key: SigningKey): Promise<Ref> {
  const first = ref.keeps?.at(-1);
  if (first === undefined) return ref;
  return await writeRef(store, { ...ref, layout: first.layout, keeps: undefined, created: Date.now() }, key);
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
