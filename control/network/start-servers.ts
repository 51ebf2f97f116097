/**
 * XenoServers on a switch of their own in this machine, and a client beside them, for as long as one program runs.
 * What an earlier program left that was killed is removed first.
 */
import fs from "node:fs/promises";
import path from "node:path";
import { claimPrefix, sweepAbandoned, sweepLinks } from "../../xenod/links/sweep.ts";
import type { Peer } from "../../xenod/migration/peers/peer.ts";
import { trustKey } from "../../xenostore/keys/key-ring.ts";
import type { Home } from "../cli/home.ts";
import { joinClient } from "./local-network.ts";
import { type StartedServer, startServer } from "./start-server.ts";

export interface ServersStart {
  readonly home: Home;
  /** Each gets the state `<stateDirectory>/<name>`, and a number in this order from 1. */
  readonly names: readonly string[];
  readonly stateDirectory: string;
  /** They move domains to each other; it holds copies of the home's trusted keys, and theirs. Default: they do not. */
  readonly friendsDirectory?: string;
  /** Takes everything down again, in reverse order. */
  readonly cleanup: AsyncDisposableStack;
  readonly signal: AbortSignal;
  readonly tell: (who: string, what: string) => void;
}

export interface LocalServers {
  readonly prefix: string;
  /** From here every guest is reached. */
  readonly clientNamespace: string;
  readonly servers: readonly StartedServer[];
  /** How they know each other, in the same order; none where they are no friends. */
  readonly peers: readonly Peer[];
}

export async function startServers(start: ServersStart): Promise<LocalServers> {
  const { home, cleanup, signal, tell } = start;
  await sweepAbandoned();
  const prefix = `xeno-${process.pid}`;
  await claimPrefix(prefix);
  cleanup.defer(async () => {
    await sweepLinks(prefix);
    tell("switch", "everything is taken down");
  });
  const clientNamespace = await joinClient(prefix);
  const { friendsDirectory: friends } = start;
  if (friends !== undefined)
    await fs.cp(path.join(home.keys, "trusted"), path.join(friends, "trusted"), { recursive: true });
  const started: StartedServer[] = [];
  cleanup.defer(async () => void (await Promise.all(started.map((server) => stopServer(server, tell)))));
  const outcomes = await Promise.allSettled(
    start.names.map(async (name, index) => {
      const paths = { stateDirectory: `${start.stateDirectory}/${name}`, store: home.store };
      const trust = { trustDirectory: friends ?? home.keys, listens: friends !== undefined };
      const server = await startServer({ prefix, name, number: index + 1, ...paths, ...trust, signal });
      started.push(server);
      for (const { name: left } of await server.client.domains(signal)) await removeDomain(server, left, signal);
      tell(name, "XenoServer is up");
      return server;
    }),
  );
  const servers = outcomes.map((outcome) => {
    if (outcome.status === "rejected") throw outcome.reason;
    return outcome.value;
  });
  const peers: Peer[] = [];
  if (friends !== undefined) for (const server of servers) peers.push(await befriend(server, friends, signal));
  return { prefix, clientNamespace, servers, peers };
}

async function befriend({ name, client }: StartedServer, trustDirectory: string, signal: AbortSignal): Promise<Peer> {
  const { publicKey, url } = await client.status(signal);
  await trustKey(trustDirectory, `xenoserver+${name}`, publicKey);
  return { name, url: url!, publicKey };
}

/** Ends a domain at once and deletes its journal. */
export async function removeDomain({ client }: StartedServer, name: string, signal: AbortSignal): Promise<void> {
  const { task } = await client.remove(name, 0, signal);
  await client.waitForTask(task, undefined, signal);
}

async function stopServer({ name, client, process: child }: StartedServer, tell: ServersStart["tell"]): Promise<void> {
  const gone = new Promise<void>((resolve) =>
    child.exitCode === null ? child.once("exit", () => resolve()) : resolve(),
  );
  // At once: what a guest would still write is removed with it.
  await client
    .shutdown({ remove: true, graceMs: 0 })
    .catch((error) => tell(name, `did not stop in order: ${error instanceof Error ? error.message : error}`));
  child.kill("SIGTERM");
  await gone;
  tell(name, "XenoServer is down");
}
