/** Ours: a domain of two XenoServers, as `xeno suspend`, `xeno resume` and `xeno migrate` have it. */
import { setTimeout as delay } from "node:timers/promises";
import { kernelUrl } from "../../control/demo/prepare.ts";
import { deployEverywhere } from "../../control/deploy/deploy-everywhere.ts";
import type { LocalServers } from "../../control/network/start-servers.ts";
import type { Begun } from "../../xenod/api/client.ts";
import type { Peer } from "../../xenod/migration/peers/peer.ts";
import { type Figures, guest, type Mover } from "./mover.ts";
import type { Service } from "./services.ts";

const { name } = guest;
const pollMs = 20;

export function createXenoMover(
  { servers }: LocalServers,
  peers: readonly Peer[],
  overlay: string,
  { init, memoryMiB }: Service,
): Mover {
  let at = 0;
  let addresses: readonly string[] = [];
  const { cpus } = guest;

  /** The steps of a task: ms since it was asked for. */
  async function finish(begin: () => Promise<Begun>, signal: AbortSignal): Promise<Figures> {
    const { client } = servers[at];
    const command = Date.now();
    const { task } = await begin();
    await client.waitForTask(task, undefined, signal);
    const totalMs = Date.now() - command;
    const { progress } = await client.getTask(task, undefined, signal);
    return { totalMs, ...Object.fromEntries(progress.map((step) => [step.step, step.at - command])) };
  }

  return {
    name: "xeno",
    title: "XenoServer",
    addresses: () => addresses,
    async boot(signal) {
      const document = { name, overlay, kernel: kernelUrl, init, memoryMiB, cpus };
      const [{ domain, error }] = await deployEverywhere([servers[at]], document, () => {}, signal);
      if (domain === undefined) throw error;
      addresses = [domain.address!];
    },
    async suspend(signal) {
      const figures = await finish(() => servers[at].client.suspend(name, {}, signal), signal);
      const [{ memory }] = (await servers[at].client.checkpoints(name, signal)).slice(-1);
      return { ...figures, memoryBytes: memory.bytes };
    },
    async resume(signal) {
      const figures = await finish(() => servers[at].client.resume(name, {}, signal), signal);
      addresses = [(await servers[at].client.domain(name, signal)).address!];
      for (const { number } of await servers[at].client.checkpoints(name, signal))
        await servers[at].client.removeCheckpoint(name, number, signal);
      return figures;
    },
    async migrate(signal) {
      const to = 1 - at;
      const moved = new AbortController();
      const looking = lookForAddress(to, AbortSignal.any([signal, moved.signal]));
      const before = addresses;
      const { client } = servers[at];
      try {
        const figures = await finish(() => client.migrate(name, { to: peers[to] }, signal), signal);
        await looking;
        at = to;
        addresses = addresses.filter((address) => !before.includes(address));
        return withoutPrelude(figures);
      } finally {
        moved.abort();
      }
    },
    async remove() {},
  };

  /** It has one at the other XenoServer as soon as that has taken it. */
  async function lookForAddress(server: number, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const found = await servers[server].client.domain(name, signal).catch(() => undefined);
      if (found?.address !== undefined) {
        addresses = [...addresses, found.address];
        return;
      }
      await delay(pollMs, undefined, { signal }).catch(() => {});
    }
  }
}

/** The steps of the hand-over from the stop on, since the stop. */
function withoutPrelude({ totalMs, ...steps }: Figures): Figures {
  const stopped = steps.stopped;
  const after = Object.entries(steps).filter(([, ms]) => ms > stopped);
  return { totalMs, ...steps, ...Object.fromEntries(after.map(([step, ms]) => [`stopped to ${step}`, ms - stopped])) };
}
