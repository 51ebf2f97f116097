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
import { createKey, loadKey, trustKey } from "../../xenostore/keys/key-ring.ts";
import { openDirectoryStore } from "../../xenostore/stores/directory-store.ts";
import { parseCount, publishCountingGuest } from "../end-to-end/counting-guest.ts";

export interface Story {
  /** The lab's, with two hosts that run a Xenod. */
  readonly directory: string;
  readonly hosts: readonly LabHost[];
  readonly signal: AbortSignal;
  onStep(step: string): void;
}

interface Server {
  readonly host: LabHost;
  readonly client: XenodClient;
  readonly peer: Peer;
}

const guest = "guest";

/** Rejects with what was not as it should be. */
export async function tellTwoHosts({ directory, hosts, signal, onStep }: Story): Promise<void> {
  const published = await openLabStore(directory);
  const deployment = { id: randomUUID(), name: guest, ...(await publishCountingGuest(published)) };
  onStep("the guest is published");
  const [a, b] = (await Promise.all(hosts.map((host) => connect(directory, host, signal)))) as [Server, Server];
  try {
    await follow(a, await a.client.deploy(deployment, signal), signal);
    let count = await waitForCount(a, 3, signal);
    onStep(`deployed on a, it has counted to ${count}`);

    await follow(a, await a.client.suspend(guest, {}, signal), signal);
    const [{ number }] = await a.client.checkpoints(guest, signal);
    const { url } = (await follow(a, await a.client.publishCheckpoint(guest, number, signal), signal)) as {
      url: string;
    };
    onStep(`suspended, and published as ${url}`);
    await follow(b, await b.client.resumePublished({ url, name: guest }, signal), signal);
    await follow(a, await a.client.remove(guest, 0, signal), signal);
    count = await waitForCount(b, count + 2, signal);
    await expectOnly(b, a, signal);
    onStep(`resumed on b, it has counted to ${count}`);

    await move(b, a, signal);
    count = await waitForCount(a, count + 2, signal);
    await expectOnly(a, b, signal);
    onStep(`moved to a, it has counted to ${count}`);

    await makeStranger(b, signal);
    await assert.rejects(move(a, b, signal, () => killXenod(b, signal)));
    count = await waitForCount(a, count + 2, signal);
    await expectOnly(a, b, signal);
    onStep(`b's Xenod was killed while it moved: it stays on a, and has counted to ${count}`);

    await rebootHost(directory, a.host, signal);
    await until(async () => (await a.client.domain(guest, signal)).state !== "running", signal);
    const { state, reason } = await a.client.domain(guest, signal);
    assert.deepEqual({ state, reason }, { state: "crashed", reason: "its host was restarted" });
    onStep("a's machine was switched off and on: its Xenod says so");

    await follow(a, await a.client.remove(guest, 0, signal), signal);
    for (const server of [a, b]) await until(() => hasNothing(server, signal), signal);
    await b.host.shell.require("xl destroy stranger", signal);
    onStep("removed: nothing of it is left, and what somebody else made with xl was left alone");
  } finally {
    for (const { client } of [a, b]) await client.close();
  }
}

async function openLabStore(directory: string) {
  const storeDirectory = join(directory, "store");
  const trustDirectory = join(directory, "keys");
  const store = await openDirectoryStore(storeDirectory, { create: true });
  const key = await loadKey(trustDirectory, "tests").catch(() => createKey(trustDirectory, "tests"));
  for (const owner of ["demo", "templates"]) await trustKey(trustDirectory, owner, key.publicKey);
  return { directory, storeDirectory, trustDirectory, store, key };
}

/** Each takes what the other sends. */
async function connect(directory: string, host: LabHost, signal: AbortSignal): Promise<Server> {
  const client = await connectXenod(directory, host, signal);
  const publicKey = await waitForServerKey(directory, host.name, signal);
  await trustKey(join(directory, "keys"), `xenoserver+${host.name}`, publicKey);
  const peer = { name: host.name, url: `https://${host.address}:${apiPortInside}`, publicKey };
  return { host, client, peer };
}

async function follow({ client }: Server, { task }: { task: string }, signal: AbortSignal): Promise<unknown> {
  return await client.waitForTask(task, undefined, signal);
}

/** `meanwhile` is called once the memory is under way. */
async function move(from: Server, to: Server, signal: AbortSignal, meanwhile?: () => Promise<void>): Promise<void> {
  const { task } = await from.client.migrate(guest, { to: to.peer, dropCheckpoints: true }, signal);
  let begun: Promise<void> | undefined;
  await from.client
    .waitForTask(
      task,
      ({ progress }) => {
        if (progress.some(({ step }) => step === "memory begun")) begun ??= meanwhile?.();
      },
      signal,
    )
    .finally(() => begun);
}

/** A domain that is none of ours; it may do what it likes. */
async function makeStranger({ host }: Server, signal: AbortSignal): Promise<void> {
  const settings = ['name = "stranger"', 'type = "pvh"', "memory = 64", 'kernel = "/run/kernel"'];
  const kernel = `cp $(ls /var/lib/xeno/${host.name}/kernels/*/vmlinux | head -n 1) /run/kernel`;
  const write = settings.map((setting) => `echo '${setting}' >>/run/stranger.cfg`);
  await host.shell.require([kernel, ...write, "xl create -q -p -e /run/stranger.cfg"].join(" && "), signal);
}

/** dom0 starts another. */
async function killXenod({ host }: Server, signal: AbortSignal): Promise<void> {
  await host.shell.require("kill -9 $(pgrep -f 'main.ts server run')", signal);
}

async function waitForCount({ client }: Server, count: number, signal: AbortSignal): Promise<number> {
  let reached = 0;
  await until(async () => {
    reached = parseCount(await client.log(guest, undefined, signal));
    return reached >= count;
  }, signal);
  return reached;
}

/** It runs on one host; on the other there is nothing of it, for Xen or for us. */
async function expectOnly(at: Server, other: Server, signal: AbortSignal): Promise<void> {
  await until(() => hasNothing(other, signal), signal);
  assert.equal((await at.client.domain(guest, signal)).state, "running");
  assert.equal((await listDomains(at, signal)).length, 1);
}

async function hasNothing(server: Server, signal: AbortSignal): Promise<boolean> {
  return (await server.client.domains(signal)).length === 0 && (await listDomains(server, signal)).length === 0;
}

/** Xen's own word, without dom0 and the stranger. */
async function listDomains({ host }: Server, signal: AbortSignal): Promise<string[]> {
  const table = await host.shell.require("xl list", signal);
  return table.split("\n").filter((line) => line !== "" && !/^(Name|Domain-0|stranger) /.test(line));
}

async function until(isSo: () => Promise<boolean>, signal: AbortSignal): Promise<void> {
  while (!(await isSo())) await delay(500, undefined, { signal });
}
