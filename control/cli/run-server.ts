/**
 * `xeno server run`: a XenoServer on the network that the XenoServers of one `$XENO_HOME` share, with a place on it that it
 * keeps; or, with `--prefix`, on one that somebody else makes, takes down, and knows the members of.
 */
import { createHash } from "node:crypto";
import path from "node:path";
import { InvalidArgumentError } from "commander";
import { pino } from "pino";
import { XenoError } from "../../cowfs/errors.ts";
import { XenodClient } from "../../xenod/api/client.ts";
import type { PortSettings } from "../../xenod/daemon/admit-ports.ts";
import { type ReadyServer, runXenoServer } from "../../xenod/daemon/run-xeno-server.ts";
import type { GuestType } from "../../xenod/hypervisors/xl/configuration.ts";
import { isUp } from "../../xenod/resources/admission.ts";
import { joinClient, joinServer, leaveNetwork, maxLocalServers, type ServerNetwork } from "../network/local-network.ts";
import { withNetworkLock } from "../network/network-lock.ts";
import { joinHost } from "../network/uplinked-server.ts";
import { type GuestNetwork, parsePortRange } from "../server/configuration.ts";
import type { HostPort } from "./arguments.ts";
import type { Context } from "./context.ts";
import type { Home } from "./home.ts";
import { type LiveFlags, livePolicy } from "./live-flags.ts";
import { printResult, tell, tellTrouble } from "./output.ts";
import {
  connectServer,
  isLocal,
  type LocalServer,
  listServers,
  registerServer,
  unregisterServer,
} from "./registered-servers.ts";

export interface RunFlags extends LiveFlags {
  readonly name: string;
  readonly number?: number;
  readonly state?: string;
  readonly trust?: string;
  readonly prefix?: string;
  readonly cacheSize?: number;
  readonly fillRate?: number;
  readonly workers?: number;
  readonly ioErrorsAfter?: number;
  readonly xenGuests?: GuestType;
  readonly listen?: HostPort;
  /** On the host's own network. */
  readonly guests?: GuestNetwork;
}

/** Settles when it has ended. Throws `in-use` when it runs already, and what XenoServer.open throws. */
export async function runServer({ home, signal, json }: Context, flags: RunFlags): Promise<void> {
  const { name, guests, prefix = localPrefix(home.directory) } = flags;
  const stateDirectory = path.resolve(flags.state ?? home.at("servers", name));
  const isOurNetwork = flags.prefix === undefined;
  const { namespace, addressPool, isNew } = isOurNetwork
    ? await joinOurNetwork(home, { name, prefix, stateDirectory, guests })
    : { ...(await joinServer(prefix, { name, number: requireNumber(flags) })), isNew: false };
  const ending = new AbortController();
  let isReady = false;
  // As a client's shutdown ends it.
  let isWhollyEnded = true;
  const onReady = ({ socketPath, port, publicKey }: ReadyServer) => {
    isReady = true;
    printResult(json, { name, socket: socketPath, port, publicKey, guests: addressPool });
    const end = async () => {
      isWhollyEnded = await endUnlessNeeded(new XenodClient({ endpoint: { socketPath }, name }), name);
      ending.abort(signal.reason);
    };
    if (signal.aborted) void end();
    else signal.addEventListener("abort", end, { once: true });
  };
  await home.openStore({ create: true });
  try {
    await runXenoServer({
      name,
      stateDirectory,
      pull: {
        cacheBytes: flags.cacheSize,
        fillBytesPerSecond: flags.fillRate,
        ioErrorAfterMs: seconds(flags.ioErrorsAfter),
      },
      workers: flags.workers,
      xenGuests: flags.xenGuests,
      live: livePolicy(flags),
      store: home.store,
      trustDirectory: path.resolve(flags.trust ?? home.keys),
      namespace,
      addressPool,
      linkPrefix: prefix,
      listen: flags.listen,
      ports: portsOf(guests),
      nameServers: guests?.dns,
      signal: ending.signal,
      log: pino({ level: process.env.XENO_LOG ?? "info" }, pino.destination({ dest: 2, sync: true })),
      onReady,
    });
  } catch (error) {
    // Guests of an earlier run may need what was there before.
    if (isNew && !isReady) await forgetPlace(home, prefix, name);
    throw error;
  }
  if (isOurNetwork && isWhollyEnded) await leaveOurNetwork(home, prefix, name);
}

/** Namespaces are the machine's: two homes must not share names. */
export function localPrefix(home: string): string {
  return `xeno-${createHash("sha256").update(home).digest("hex").slice(0, 6)}`;
}

export async function leaveOurNetwork(home: Home, prefix: string, name: string): Promise<void> {
  await withNetworkLock(lockFile(home), () => leaveNetwork(prefix, name));
}

/** What runs keeps its place; so does what ran before. */
async function joinOurNetwork(
  home: Home,
  wanted: Omit<LocalServer, "number">,
): Promise<ServerNetwork & { isNew: boolean }> {
  const { name } = wanted;
  return await withNetworkLock(lockFile(home), async () => {
    const all = await listServers(home);
    if (all.some((server) => server.name === name && !isLocal(server)))
      throw new XenoError("server-exists", `${name} is a XenoServer elsewhere`, {
        hint: `Choose another --name, or forget that one: xeno server forget ${name}`,
      });
    const servers = all.filter(isLocal);
    const known = servers.find((server) => server.name === name);
    if (known !== undefined) await requireDown(home, known);
    const number = known?.number ?? chooseNumber(servers);
    const server = { ...wanted, number };
    const network = await joinNetworkOf(server);
    await registerServer(home, server);
    return { ...network, isNew: known === undefined };
  });
}

/** Makes what a XenoServer's guests are joined to, or finds it made. */
export async function joinNetworkOf({ name, number, prefix, guests }: LocalServer): Promise<ServerNetwork> {
  if (guests !== undefined) return { namespace: await joinHost(prefix, name, guests), addressPool: guests.addresses };
  const network = await joinServer(prefix, { name, number });
  // Made with the first server, it goes with the last.
  await joinClient(prefix);
  return network;
}

/** Undefined: those of the XenoServer's own network namespace. */
export function portsOf(guests: GuestNetwork | undefined): PortSettings | undefined {
  if (guests === undefined) return undefined;
  return { isOnHost: true, range: guests.ports === undefined ? undefined : parsePortRange(guests.ports) };
}

async function forgetPlace(home: Home, prefix: string, name: string): Promise<void> {
  await withNetworkLock(lockFile(home), async () => {
    await unregisterServer(home, name);
    await leaveNetwork(prefix, name);
  });
}

async function requireDown(home: Home, known: LocalServer): Promise<void> {
  const client = await connectServer(home, known, 0);
  const status = await client.status().catch(() => undefined);
  await client.close();
  if (status === undefined) return;
  throw new XenoError("in-use", `XenoServer ${known.name} runs already, as process ${status.process}`, {
    hint: `Choose another --name, or end that one: xeno server stop ${known.name}`,
  });
}

function chooseNumber(servers: readonly LocalServer[]): number {
  const taken = new Set(servers.map(({ number }) => number));
  for (let number = 1; number <= maxLocalServers; number++) if (!taken.has(number)) return number;
  throw new XenoError("too-many-servers", `${maxLocalServers} XenoServers at most share one machine`, {
    hint: "xeno server stop NAME --remove forgets one.",
  });
}

/** Without guests that need it the file server ends too; true when it did. */
async function endUnlessNeeded(client: XenodClient, name: string): Promise<boolean> {
  try {
    const needing = (await client.domains()).filter(({ state }) => isUp(state));
    if (needing.length > 0) {
      tell(
        `${needing.map((domain) => `${name}/${domain.name}`).join(", ")} will go on: xeno server stop ${name} ends all`,
      );
      return false;
    }
    await client.shutdown({ graceMs: 0 });
    return true;
  } catch (error) {
    tellTrouble("it was not ended in order", error);
    return false;
  } finally {
    await client.close();
  }
}

function requireNumber({ number }: RunFlags): number {
  if (number === undefined) throw new InvalidArgumentError("--prefix needs a --number.");
  return number;
}

function seconds(count: number | undefined): number | undefined {
  return count === undefined ? undefined : count * 1000;
}

function lockFile(home: Home): string {
  return home.at("network.lock");
}
