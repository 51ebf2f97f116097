/**
 * Suspend and resume with everything real but the guests, which the simulator plays: each step of both, with Xenod killed right
 * after it. In order: each test goes on from the last.
 */
import { randomUUID } from "node:crypto";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import type { DomainView } from "../../../xenod/daemon/observe-domain.ts";
import { FileServerClient } from "../../../xenod/file-server/client.ts";
import { openSimulatedConsole } from "../../../xenod/hypervisors/simulator/simulated-guest.ts";
import { listNamespaces } from "../../../xenod/links/namespaces.ts";
import { checkStore } from "../../../xenostore/collect/check-store.ts";
import { sweepStore } from "../../../xenostore/collect/sweep.ts";
import { trustKey } from "../../../xenostore/keys/key-ring.ts";
import { removeRef } from "../../../xenostore/publish/write-ref.ts";
import { type RunningServer, startXenoServer } from "../../end-to-end/xeno-server.ts";
import { runTeardowns } from "../../run-teardowns.ts";
import { publishFiles } from "../published.ts";
import { GuestShell, poll } from "../test-guest.ts";

let server: RunningServer;
const teardowns: (() => unknown)[] = [];

test.before(async (t) => {
  server = await startXenoServer({ teardown: (act) => void teardowns.push(act), log: t.log }, { simulates: true });
  const configuration = JSON.stringify({ format: 1, kernel: "vmlinux", initramfs: "initramfs", commandLine: "quiet" });
  const files = { "config.json": configuration, vmlinux: "no kernel", initramfs: "no initramfs" };
  const kernel = await publishFiles(server.published, "kernel", files);
  const overlay = await publishFiles(server.published, "web", { "sbin/init": "never run" });
  await server.client.deploy({ id: randomUUID(), name: "web", overlay, kernel, memoryMiB: 64, cpus: 1 });
  await waitForState("web", "running");
});

test.after.always(() => runTeardowns(teardowns));

test.serial("a suspended domain has nothing but its checkpoint, and is resumed with its memory", async (t) => {
  await remember(t, "web", "first");
  const suspended = await finish(server.client.suspend("web"));
  t.like(suspended, { domain: "web", checkpoint: 1 });
  await expectSuspended(t);
  const [manifest] = await server.client.checkpoints("web");
  t.like(manifest, { number: 1, domain: "web", guestAddress: "10.77.1.1", platform: "simulator 1" });

  const resumed = await finish(server.client.resume("web"));
  t.like(resumed, { domain: "web", checkpoint: 1, address: "10.77.1.1" });
  t.is(await recall(t, "web"), "first");
  const view = await server.client.domain("web");
  t.like(view, { state: "running", intent: "running", link: true });
  t.is(view.export?.state, "serving");
  await t.throwsAsync(finish(server.client.resume("web", { checkpoint: 1 })), { code: "domain-running" });
});

test.serial("a checkpoint can be taken of a guest that goes on", async (t) => {
  await remember(t, "web", "second");
  t.like(await finish(server.client.suspend("web", { goesOn: true })), { checkpoint: 2 });
  t.is(await recall(t, "web"), "second");
  t.is((await server.client.domain("web")).export?.state, "serving");
  t.deepEqual(
    (await server.client.checkpoints("web")).map(({ number }) => number),
    [1, 2],
  );
});

for (const step of ["paused", "cut", "pinned", "saved"])
  test.serial(
    `Xenod is killed in a suspend, after its step ${step}: the guest goes on as if nothing had been`,
    async (t) => {
      await remember(t, "web", step);
      await dieAt(`suspend ${step}`, () => server.client.suspend("web"));
      const view = await server.client.domain("web");
      t.like(view, { state: "running", intent: "running", operation: undefined });
      await poll("the export to serve", async () => (await server.client.domain("web")).export?.state === "serving");
      t.is(await recall(t, "web"), step);
      t.deepEqual(
        (await server.client.checkpoints("web")).map(({ number }) => number),
        [1, 2],
      );
      t.deepEqual((await readdir(join(directoryOf("web"), "checkpoints"))).sort(), ["1", "2"]);
    },
  );

for (const step of ["kept", "suspended"])
  test.serial(`Xenod is killed in a suspend, after its step ${step}: the domain is suspended`, async (t) => {
    await remember(t, "web", step);
    await dieAt(`suspend ${step}`, () => server.client.suspend("web"));
    await expectSuspended(t);
    await finish(server.client.resume("web"));
    t.is(await recall(t, "web"), step);
  });

for (const step of ["kept"])
  test.serial(
    `Xenod is killed in a checkpoint, after its step ${step}: the guest goes on, and the checkpoint is there`,
    async (t) => {
      await remember(t, "web", step);
      const before = (await server.client.checkpoints("web")).length;
      await dieAt(`suspend ${step}`, () => server.client.suspend("web", { goesOn: true }));
      t.is((await server.client.checkpoints("web")).length, before + 1);
      t.is((await server.client.domain("web")).state, "running");
      t.is(await recall(t, "web"), step);
    },
  );

for (const step of ["forked", "fileServer", "hypervisor"])
  test.serial(
    `Xenod is killed in a resume, after its step ${step}: the domain is suspended, and can be resumed`,
    async (t) => {
      await remember(t, "web", step);
      await finish(server.client.suspend("web"));
      await dieAt(`resume ${step}`, () => server.client.resume("web"));
      await expectSuspended(t);
      await finish(server.client.resume("web"));
      t.is(await recall(t, "web"), step);
    },
  );

for (const step of ["running"])
  test.serial(`Xenod is killed in a resume, after its step ${step}: the guest runs`, async (t) => {
    await remember(t, "web", step);
    await finish(server.client.suspend("web"));
    await dieAt(`resume ${step}`, () => server.client.resume("web"));
    t.is((await server.client.domain("web")).state, "running");
    t.is(await recall(t, "web"), step);
  });

for (const step of ["paused", "cut"])
  test.serial(
    `the file server is killed in a suspend, after its step ${step}: it is suspended, or goes on`,
    async (t) => {
      await remember(t, "web", `worker-${step}`);
      const { reached, goOn } = await server.holdAt(`suspend ${step}`);
      const { task } = await server.client.suspend("web");
      await reached;
      const fileServer = new FileServerClient(server.stateDirectory);
      process.kill((await fileServer.status()).worker, "SIGKILL");
      await fileServer.close();
      await goOn();
      await server.client.waitForTask(task).catch(() => {});
      // Its keeper may take longer than anyone waits to start another.
      if ((await server.client.getTask(task)).state === "done") {
        await expectSuspended(t);
        await finish(server.client.resume("web"));
      }
      await waitForState("web", "running");
      await poll("the export to serve", async () => (await server.client.domain("web")).export?.state === "serving");
      t.is(await recall(t, "web"), `worker-${step}`);
      t.is((await server.client.domain("web")).operation, undefined);
    },
  );

test.serial("an older checkpoint is resumed in its place, and as a second domain beside it", async (t) => {
  await finish(server.client.suspend("web"));
  await finish(server.client.resume("web", { checkpoint: 1 }));
  t.is(await recall(t, "web"), "first");
  t.is((await server.client.domain("web")).journal, "journal-2");
  const again = await finish(server.client.resume("web", { checkpoint: 2, as: "web-2" }));
  t.like(again, { domain: "web-2", checkpoint: 2, address: "10.77.1.2" });
  t.is(await recall(t, "web-2"), "second");
  t.like(await server.client.domain("web-2"), { guestAddress: "10.77.1.1", address: "10.77.1.2" });
  t.is(await recall(t, "web"), "first");
  await t.throwsAsync(server.client.resume("web", { checkpoint: 1, as: "web-2" }), { code: "domain-exists" });
});

for (const step of ["hypervisor"])
  test.serial(
    `Xenod is killed in a resume as a second domain, after its step ${step}: nothing of it is left`,
    async (t) => {
      await dieAt(`resume ${step}`, () => server.client.resume("web", { checkpoint: 2, as: "web-3" }));
      t.deepEqual((await server.client.domains()).map(({ name }) => name).sort(), ["web", "web-2"]);
      t.deepEqual((await readdir(join(server.stateDirectory, "domains"))).sort(), ["web", "web-2"]);
      t.false((await listNamespaces(server.prefix)).includes(`${server.prefix}.a.web-3`));
    },
  );

test.serial(
  "a published checkpoint is resumed where its signer is trusted for that, and sent again costs little",
  async (t) => {
    const published = await finish(server.client.publishCheckpoint("web", 2));
    const { url, publicKey, newBytes } = published as { url: string; publicKey: string; newBytes: number };
    t.regex(url, /^xenostore:\/\/xenoserver\+a\/web@2-/);
    t.true(newBytes > 0);
    await t.throwsAsync(server.client.resumePublished({ url, name: "web-4" }), { code: "ref-untrusted" });
    // Trust in its overlays is none in its checkpoints.
    await trustKey(server.published.trustDirectory, "a", publicKey);
    await t.throwsAsync(server.client.resumePublished({ url, name: "web-4" }), { code: "ref-untrusted" });
    await t.throwsAsync(server.client.resumePublished({ url: "xenostore://demo/web" }), { code: "checkpoint-invalid" });
    await trustKey(server.published.trustDirectory, "xenoserver+a", publicKey);
    const resumed = await finish(server.client.resumePublished({ url, name: "web-4" }));
    t.like(resumed, { domain: "web-4", checkpoint: 1 });
    t.is(await recall(t, "web-4"), "second");
    t.is((await server.client.domain("web-4")).export?.state, "serving");
    await finish(server.client.remove("web-4"));

    const later = (await server.client.checkpoints("web")).at(-1)!.number;
    const again = await finish(server.client.publishCheckpoint("web", later));
    t.true((again as { newBytes: number }).newBytes < newBytes);
  },
);

test.serial(
  "a swept store keeps what a published checkpoint is resumed from, though no other name means it",
  async (t) => {
    const { store } = server.published;
    for (const name of ["web", "kernel"]) await removeRef(store, { owner: "demo", name, version: "1" });
    const kept = await store.list("trees");
    // What this XenoServer's domains need it keeps itself: here the checkpoint is to do it alone.
    for (const pin of await store.list("pins")) await store.delete(pin);
    await sweepStore(store, { graceMs: 0 });
    await sweepStore(store, { graceMs: 0 });
    t.deepEqual(await store.list("trees"), kept);
    t.deepEqual((await checkStore(store)).problems, []);
  },
);

test.serial("a checkpoint that is removed is gone, with the journal that nothing else needs", async (t) => {
  const numbers = (await server.client.checkpoints("web")).map(({ number }) => number);
  for (const number of numbers) await server.client.removeCheckpoint("web", number);
  t.deepEqual(await server.client.checkpoints("web"), []);
  t.deepEqual(
    (await readdir(directoryOf("web"))).filter((name) => name.startsWith("journal")),
    ["journal-2"],
  );
  await t.throwsAsync(server.client.removeCheckpoint("web", 1), { code: "checkpoint-unknown" });
  await t.throwsAsync(finish(server.client.resume("web", { checkpoint: 1, as: "other" })), {
    code: "checkpoint-unknown",
  });
});

test.serial("the checkpoint that a domain is suspended in is kept, and goes with the domain", async (t) => {
  const { checkpoint } = (await finish(server.client.suspend("web"))) as { checkpoint: number };
  await t.throwsAsync(server.client.removeCheckpoint("web", checkpoint), { code: "checkpoint-needed" });
  await t.throwsAsync(finish(server.client.suspend("web")), { code: "domain-stopped" });
  for (const name of ["web", "web-2"]) await finish(server.client.remove(name));
  t.deepEqual(await readdir(join(server.stateDirectory, "domains")), []);
});

function directoryOf(name: string): string {
  return join(server.stateDirectory, "domains", name);
}

async function finish(begun: Promise<{ task: string }>): Promise<unknown> {
  return await server.client.waitForTask((await begun).task);
}

async function waitForState(name: string, state: DomainView["state"]): Promise<void> {
  await poll(`${name} to be ${state}`, async () => (await server.client.domain(name)).state === state);
}

/** Has the Xenod die at a step of what `act` begins, and starts another. */
async function dieAt(step: string, act: () => Promise<{ task: string }>): Promise<void> {
  await server.dieAt(step);
  const { task } = await act();
  await server.died();
  await server.launch();
  const { state, error } = await server.client.getTask(task);
  if (state !== "done" && error?.code !== "interrupted") throw new Error(`the task is ${state}: ${error?.code}`);
}

async function expectSuspended(t: ExecutionContext): Promise<void> {
  const { state, link, exported, operation } = await server.client.domain("web");
  t.deepEqual(
    { state, link, exported, operation },
    { state: "suspended", link: false, exported: false, operation: undefined },
  );
  t.false((await readdir(directoryOf("web"))).includes("simulator.json"), "no guest is left");
  t.false((await listNamespaces(server.prefix)).includes(`${server.prefix}.a.web`));
  t.deepEqual(
    (await readdir(join(server.stateDirectory, "exports"))).filter((name) => name.startsWith("web.")),
    [],
  );
}

async function remember(t: ExecutionContext, name: string, word: string): Promise<void> {
  const shell = new GuestShell(t, directoryOf(name), openSimulatedConsole(directoryOf(name)));
  await shell.run(`word=${word}`);
  shell.close();
}

async function recall(t: ExecutionContext, name: string): Promise<string> {
  const shell = new GuestShell(t, directoryOf(name), openSimulatedConsole(directoryOf(name)));
  const { output } = await shell.run("echo $word");
  shell.close();
  return output.trim();
}
