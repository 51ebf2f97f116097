/** The XenoServers that ran with this `$XENO_HOME`: `servers/<name>/server.json` and their API sockets. */
import fs from "node:fs/promises";
import path from "node:path";
import { XenoError } from "../../cowfs/errors.ts";
import { findNearNames } from "../../templates/names/near-names.ts";
import { XenodClient } from "../../xenod/api/client.ts";
import type { Home } from "./home.ts";

export interface RegisteredServer {
  readonly name: string;
  readonly number: number;
  readonly prefix: string;
}

export async function listServers(home: Home): Promise<RegisteredServer[]> {
  const names = await fs.readdir(home.at("servers")).catch(() => []);
  const servers: RegisteredServer[] = [];
  for (const name of names.sort()) {
    const text = await fs.readFile(home.at("servers", name, "server.json"), "utf8").catch(() => undefined);
    if (text === undefined) continue;
    const { number, prefix } = JSON.parse(text) as RegisteredServer;
    servers.push({ name, number, prefix });
  }
  return servers;
}

/** Nothing is asked yet: a XenoServer that is down is told by the first request. */
export function connectServer(home: Home, name: string): XenodClient {
  return new XenodClient({ socketPath: path.join(home.at("servers", name), "xenod.sock"), name });
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
      hint: near.length > 0 ? `did you mean ${near.join(" or ")}?` : `xeno server run --name ${name} starts one`,
    });
  });
}
