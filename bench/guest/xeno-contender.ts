/**
 * Ours: a deployment on a XenoServer that has all of it in its cache, its root a union of the overlay and its template. `isAsync`: what
 * it changes is answered from memory, as by nfs-ganesha on a file system that is not synchronous.
 */
import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { kernelUrl, templateUrl } from "../../control/demo/prepare.ts";
import { deployEverywhere } from "../../control/deploy/deploy-everywhere.ts";
import { type LocalServers, removeDomain } from "../../control/network/start-servers.ts";
import { XenoError } from "../../cowfs/errors.ts";
import type { XenodClient } from "../../xenod/api/client.ts";
import { type Contender, guest } from "./contender.ts";

const consoleBytes = 262_144;
const pollMs = 100;

export function createXenoContender({ servers: [server] }: LocalServers, overlay: string, isAsync: boolean): Contender {
  return {
    name: isAsync ? "xeno-async" : "xeno",
    title: `XenoServer${isAsync ? ", unsafeAsync" : ""}`,
    async prepare(signal) {
      await precache(server.client, [templateUrl, overlay], signal);
    },
    async boot(signal) {
      const document = { ...guest, overlay, kernel: kernelUrl, unsafeAsync: isAsync };
      const [{ domain, error }] = await deployEverywhere([server], document, () => {}, signal);
      if (domain === undefined) throw error;
      return {
        readConsole: () => server.client.log(guest.name, consoleBytes, signal),
        remove: () => removeDomain(server, guest.name, signal),
      };
    },
  };
}

/** The peers have all of it on their disk. What a XenoServer that has nothing takes is bench pull's to tell. */
async function precache(client: XenodClient, urls: readonly string[], signal: AbortSignal): Promise<void> {
  for (const id = randomUUID(); ; await delay(pollMs, undefined, { signal })) {
    const { isOver, items } = await client.precache(id, { urls: [...urls] }, signal);
    for (const { url, error } of items)
      if (error !== undefined) throw new XenoError(error.code, `${url} cannot be precached: ${error.message}`);
    if (isOver) return;
  }
}
