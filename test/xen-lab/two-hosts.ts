/**
 * A guest's life on two Xen hosts, over their XenoServers' API: deployed by the same document as on QEMU, with its root over NFS
 * on its vif; suspended and resumed on the other host; moved back while it runs; a move that fails half-way; its end. The guest
 * counts in memory and in a file, and sees when anything of either is lost or doubled.
 */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { connectXenod, type LabHost, rebootHost, waitForServerKey } from "../../bench/xen-lab/lab.ts";
import { apiPortInside } from "../../bench/xen-lab/xen-host.ts";
import type { XenodClient } from "../../xenod/api/client.ts";
import type { Peer } from "../../xenod/migration/peers/peer.ts";
import { trustKey } from "../../xenostore/keys/key-ring.ts";
import { parseCount, publishCountingGuest } from "../end-to-end/counting-guest.ts";
import { extractKernel, openLabStore } from "./lab-store.ts";

export interface TwoHosts {
  /** The lab's. */
  readonly directory: string;
  /** Both run a Xenod. */
  readonly hosts: readonly LabHost[];
  /**
   * They have taken the guest's kernel out of the store before: 59 MB, for which an emulated host takes more than half of the time
   * of a deployment, and which has nothing to do with Xen.
   */
  readonly hasKernel?: boolean;
  readonly signal: AbortSignal;
}

type GuestDocument = Awaited<ReturnType<typeof publishCountingGuest>>;

interface Server {
  readonly host: LabHost;
  readonly client: XenodClient;
  readonly peer: Peer;
}

const guest = "guest";
/** All of it is saved, published and moved. With 64 its kernel finds no room for its initramfs; 80 leaves 30 for all else. */
const guestMiB = 96;
/** What is asked again and again takes a fifth of an emulated processor's time, and no more. */
const pollMs = 500;
const restPerAsking = 4;
const consoleDeadlineMs = 120_000;

/** Each step takes up what the one before left, says what has happened, and rejects with what was not as it should be. */
export class GuestLife {
  readonly #directory: string;
  readonly #signal: AbortSignal;
  readonly #a: Server;
  readonly #b: Server;
  readonly #document: GuestDocument;
  #count = 0;

  private constructor({ directory, signal }: TwoHosts, document: GuestDocument, [a, b]: readonly Server[]) {
    this.#directory = directory;
    this.#document = document;
    this.#signal = signal;
    this.#a = a;
    this.#b = b;
  }

  /** Settles once both answer. */
  static async begin(two: TwoHosts): Promise<GuestLife> {
    const { directory, hosts, signal, hasKernel = false } = two;
    const published = await openLabStore(directory);
    // A processor that is emulated twice has no time for ten counts a second.
    const document = await publishCountingGuest(published, { pauseSeconds: 1, memoryMiB: guestMiB });
    if (hasKernel) {
      const layKernel = await extractKernel(published, document.kernel, signal);
      await Promise.all(hosts.map(({ name, shell }) => layKernel(shell, `/var/lib/xeno/${name}`)));
    }
    return new GuestLife(two, document, await Promise.all(hosts.map((host) => connect(directory, host, signal))));
  }

  /** What the guest has printed, where there is anything of it: for who asks why something failed. */
  async readConsoles(): Promise<string> {
    const within = AbortSignal.timeout(consoleDeadlineMs);
    const read = ({ host, client }: Server) =>
      client.log(guest, undefined, within).then(
        (printed) => `the guest on ${host.name}: ${printed}`,
        (error) => `the guest on ${host.name}: ${error}`,
      );
    return (await Promise.all([this.#a, this.#b].map(read))).join("\n");
  }

  /** The hosts stay. */
  async close(): Promise<void> {
    for (const { client } of [this.#a, this.#b]) await client.close();
  }

  /** On a. */
  async deploy(): Promise<string> {
    const deployment = { id: randomUUID(), name: guest, ...this.#document };
    await this.#follow(this.#a, await this.#a.client.deploy(deployment, this.#signal));
    await this.#waitForCounts(this.#a, 3);
    return `deployed on a, it has counted to ${this.#count}`;
  }

  /** From a to b, by way of the store. */
  async resumeElsewhere(): Promise<string> {
    const [a, b] = [this.#a, this.#b];
    await this.#follow(a, await a.client.suspend(guest, {}, this.#signal));
    const [{ number }] = await a.client.checkpoints(guest, this.#signal);
    const { url } = (await this.#follow(a, await a.client.publishCheckpoint(guest, number, this.#signal))) as {
      url: string;
    };
    await this.#follow(b, await b.client.resumePublished({ url, name: guest }, this.#signal));
    await this.#follow(a, await a.client.remove(guest, 0, this.#signal));
    await this.#waitForCounts(b, 2);
    await this.#expectOnly(b, a);
    return `suspended, published as ${url} and resumed on b, it has counted to ${this.#count}`;
  }

  /** From b to a. */
  async moveLive(): Promise<string> {
    await this.#move(this.#b, this.#a);
    await this.#waitForCounts(this.#a, 2);
    await this.#expectOnly(this.#a, this.#b);
    return `moved to a, it has counted to ${this.#count}`;
  }

  /** From a to b, which does not come to pass. */
  async killReceiver(): Promise<string> {
    const [a, b] = [this.#a, this.#b];
    await assert.rejects(this.#move(a, b, () => killXenod(b, this.#signal)));
    await this.#waitForCounts(a, 2);
    await this.#expectOnly(a, b);
    return `b's Xenod was killed while it moved: it stays on a, and has counted to ${this.#count}`;
  }

  /** A domain on b that is none of ours; it may do what it likes. */
  async makeStranger(): Promise<string> {
    const { host } = this.#b;
    const settings = ['name = "stranger"', 'type = "pvh"', "memory = 64", 'kernel = "/run/kernel"'];
    const kernel = `cp $(ls /var/lib/xeno/${host.name}/kernels/*/vmlinux | head -n 1) /run/kernel`;
    const write = settings.map((setting) => `echo '${setting}' >>/run/stranger.cfg`);
    await host.shell.require([kernel, ...write, "xl create -q -p -e /run/stranger.cfg"].join(" && "), this.#signal);
    return "somebody else made a domain on b with xl";
  }

  async removeStranger(): Promise<string> {
    await this.#b.host.shell.require("xl destroy stranger", this.#signal);
    return "what somebody else made with xl was left alone";
  }

  /** Of a, which it runs on. */
  async cyclePower(): Promise<string> {
    const { client, host } = this.#a;
    await rebootHost(this.#directory, host, this.#signal);
    await this.#until(async () => (await client.domain(guest, this.#signal)).state !== "running");
    const { state, reason } = await client.domain(guest, this.#signal);
    assert.deepEqual({ state, reason }, { state: "crashed", reason: "its host was restarted" });
    return "a's machine was switched off and on: its Xenod says so";
  }

  /** From a. */
  async remove(): Promise<string> {
    await this.#follow(this.#a, await this.#a.client.remove(guest, 0, this.#signal));
    for (const server of [this.#a, this.#b]) await this.#until(() => this.#hasNothing(server));
    return "removed: nothing of it is left";
  }

  async #follow({ client }: Server, { task }: { task: string }): Promise<unknown> {
    return await client.waitForTask(task, undefined, this.#signal);
  }

  /** `meanwhile` is called once the memory is under way. */
  async #move(from: Server, to: Server, meanwhile?: () => Promise<void>): Promise<void> {
    const { task } = await from.client.migrate(guest, { to: to.peer, dropCheckpoints: true }, this.#signal);
    let begun: Promise<void> | undefined;
    await from.client
      .waitForTask(
        task,
        ({ progress }) => {
          if (progress.some(({ step }) => step === "memory begun")) begun ??= meanwhile?.();
        },
        this.#signal,
      )
      .finally(() => begun);
  }

  /** So many more than were seen before. */
  async #waitForCounts({ client }: Server, more: number): Promise<void> {
    const wanted = this.#count + more;
    await this.#until(async () => {
      this.#count = parseCount(await client.log(guest, undefined, this.#signal));
      return this.#count >= wanted;
    });
  }

  /** It runs on one host; on the other there is nothing of it, for Xen or for us. */
  async #expectOnly(at: Server, other: Server): Promise<void> {
    await this.#until(() => this.#hasNothing(other));
    assert.equal((await at.client.domain(guest, this.#signal)).state, "running");
    assert.equal((await this.#listDomains(at)).length, 1);
  }

  async #hasNothing(server: Server): Promise<boolean> {
    const known = await server.client.domains(this.#signal);
    return known.length === 0 && (await this.#listDomains(server)).length === 0;
  }

  /** Xen's own word, without dom0 and the stranger. */
  async #listDomains({ host }: Server): Promise<string[]> {
    const table = await host.shell.require("xl list", this.#signal);
    return table.split("\n").filter((line) => line !== "" && !/^(Name|Domain-0|stranger) /.test(line));
  }

  async #until(isSo: () => Promise<boolean>): Promise<void> {
    for (;;) {
      const begun = performance.now();
      if (await isSo()) return;
      const askingMs = performance.now() - begun;
      await delay(Math.max(pollMs, restPerAsking * askingMs), undefined, { signal: this.#signal });
    }
  }
}

/** Each takes what the other sends. */
async function connect(directory: string, host: LabHost, signal: AbortSignal): Promise<Server> {
  const client = await connectXenod(directory, host, signal);
  const publicKey = await waitForServerKey(directory, host.name, signal);
  await trustKey(join(directory, "keys"), `xenoserver+${host.name}`, publicKey);
  const peer = { name: host.name, url: `https://${host.address}:${apiPortInside}`, publicKey };
  return { host, client, peer };
}

/** dom0 starts another. */
async function killXenod({ host }: Server, signal: AbortSignal): Promise<void> {
  await host.shell.require("kill -9 $(pgrep -f 'main.ts server run')", signal);
}
