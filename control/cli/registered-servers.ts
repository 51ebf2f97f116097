/**
 * The XenoServers that this `$XENO_HOME` knows: `servers/<name>/server.json`. Those that ran with it, by where their state is,
 * and with it their API socket; one that was killed is listed until its folder is removed. And others anywhere, by their URL,
 * their key, and which of the user's keys they know.
 */
import fs from "node:fs/promises";
import path from "node:path";
import { XenoError } from "../../cowfs/errors.ts";
import { findNearNames } from "../../templates/names/near-names.ts";
import { XenodClient } from "../../xenod/api/client.ts";
import { apiSocket } from "../../xenod/api/socket-path.ts";
import type { DomainView } from "../../xenod/daemon/observe-domain.ts";
import { loadIdentity } from "../../xenod/identity/tls-identity.ts";
import type { Peer } from "../../xenod/migration/peers/peer.ts";
import type { PublicKeyText } from "../../xenostore/keys/key-ring.ts";
import type { GuestNetwork } from "../server/configuration.ts";
import type { DomainTarget } from "./arguments.ts";
import type { Home } from "./home.ts";

export type RegisteredServer = LocalServer | RemoteServer;

export interface RemoteServer {
  readonly name: string;
  /** `https://HOST:PORT` */
  readonly url: string;
  /** Who answers there. */
  readonly serverKey: PublicKeyText;
  /** The name of the user's key that is shown. */
  readonly key: string;
}

export interface LocalServer {
  readonly name: string;
  /** Its place in the machine's network: see network/local-network.ts. */
  readonly number: number;
  readonly prefix: string;
  readonly stateDirectory: string;
  /** Where its guests are on the host's own network. */
  readonly guests?: GuestNetwork;
}

const format = 1;
const folder = "servers";

export async function listServers(home: Home): Promise<RegisteredServer[]> {
  const names = await fs.readdir(home.at(folder)).catch((error) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
  const servers: RegisteredServer[] = [];
  for (const name of names.sort()) {
    const server = await readServer(home, name);
    if (server !== undefined) servers.push(server);
  }
  return servers;
}

export function isLocal(server: RegisteredServer): server is LocalServer {
  return "stateDirectory" in server;
}

export async function registerServer(home: Home, { name, ...entry }: RegisteredServer): Promise<void> {
  const file = fileOf(home, name);
  await fs.mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
  await fs.writeFile(`${file}.new`, `${JSON.stringify({ format, ...entry })}\n`, { mode: 0o600, flush: true });
  await fs.rename(`${file}.new`, file);
}

/**
 * Nothing is asked yet: a XenoServer that is down is told by the first request, which waits for one that restarts as
 * long as the client does by default, or `patienceMs`.
 */
export async function connectServer(home: Home, server: RegisteredServer, patienceMs?: number): Promise<XenodClient> {
  const { name } = server;
  if (isLocal(server))
    return new XenodClient({ endpoint: { socketPath: apiSocket(server.stateDirectory) }, name, patienceMs });
  const { url, serverKey, key } = server;
  const endpoint = { url, serverKey, identity: await loadIdentity(home.keys, key) };
  return new XenodClient({ endpoint, name, patienceMs });
}

/** Throws `server-unknown`, with names that are near. */
export async function findServers(home: Home, names: readonly string[]): Promise<RegisteredServer[]> {
  const known = await listServers(home);
  return names.map((name) => {
    const server = known.find((candidate) => candidate.name === name);
    if (server !== undefined) return server;
    const near = findNearNames(
      name,
      known.map((candidate) => candidate.name),
    );
    throw new XenoError("server-unknown", `there is no XenoServer ${name}`, {
      hint: near.length > 0 ? `Did you mean ${near.join(" or ")}?` : `xeno server run --name ${name} starts one.`,
    });
  });
}

export async function findTarget(home: Home, { server, domain }: DomainTarget) {
  const [registered] = await findServers(home, [server]);
  const prefix = isLocal(registered) ? registered.prefix : undefined;
  return { client: await connectServer(home, registered), prefix, label: `${server}/${domain}` };
}

/** What other XenoServers need to send it domains. Throws `server-unlistening`. */
export async function describePeer(home: Home, server: RegisteredServer, signal: AbortSignal): Promise<Peer> {
  const { name } = server;
  if (!isLocal(server)) return { name, url: server.url, publicKey: server.serverKey };
  const client = await connectServer(home, server);
  const { url, publicKey } = await client.status(signal).finally(() => client.close());
  if (url !== undefined) return { name, url, publicKey };
  throw new XenoError("server-unlistening", `XenoServer ${name} does not answer other XenoServers`, {
    hint: `Run it with --listen HOST:PORT, such as --listen 127.0.0.1:0.`,
  });
}

/** Throws `domain-stopped`. */
export async function findRunning(
  home: Home,
  target: DomainTarget,
  signal: AbortSignal,
): Promise<{ domain: DomainView; client: XenodClient; prefix: string | undefined; label: string }> {
  const { client, prefix, label } = await findTarget(home, target);
  const domain = await client.domain(target.domain, signal);
  if (domain.state === "running") return { domain, client, prefix, label };
  throw new XenoError("domain-stopped", `${label} does not run: it is ${domain.state}`, {
    hint: "xeno ps shows what runs.",
  });
}

export async function unregisterServer(home: Home, name: string): Promise<void> {
  await fs.rm(fileOf(home, name), { force: true });
}

/** Forgets it, with its state where that is in `$XENO_HOME`. */
export async function forgetServer(home: Home, name: string): Promise<void> {
  await fs.rm(path.dirname(fileOf(home, name)), { recursive: true, force: true });
}

async function readServer(home: Home, name: string): Promise<RegisteredServer | undefined> {
  const file = fileOf(home, name);
  const text = await fs.readFile(file, "utf8").catch((error) => {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  try {
    const {
      format: written,
      number,
      prefix,
      stateDirectory = home.at(folder, name),
      guests,
      ...remote
    } = JSON.parse(text);
    if (written === format && Number.isInteger(number) && typeof prefix === "string")
      return { name, number, prefix, stateDirectory, ...(guests && { guests }) };
    const { url, serverKey, key } = remote;
    if (written === format && [url, serverKey, key].every((value) => typeof value === "string"))
      return { name, url, serverKey, key };
  } catch {}
  throw new XenoError("server-damaged", `${file} does not describe a XenoServer`, {
    hint: `Remove it, and run xeno server run --name ${name} again.`,
  });
}

function fileOf(home: Home, name: string): string {
  return home.at(folder, name, "server.json");
}
