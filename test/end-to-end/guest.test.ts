/** One real guest, from deployment to removal, while everything around it is killed. In order: each test goes on from the last. */
import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import test, { type ExecutionContext } from "ava";
import { untilGuestEnds } from "../../control/deploy/watch-domain.ts";
import type { Deployment } from "../../xenod/daemon/deployment.ts";
import { FileServerClient } from "../../xenod/file-server/client.ts";
import { stopFileServer } from "../../xenod/file-server/start.ts";
import { findQemu } from "../../xenod/hypervisors/qemu/qemu-process.ts";
import { fileServerPort, serverAddress } from "../../xenod/links/addresses.ts";
import { createLink, deleteLink } from "../../xenod/links/guest-link.ts";
import { listNamespaces } from "../../xenod/links/namespaces.ts";
import { readStartTime, waitUntilGone } from "../../xenod/processes.ts";
import { runTeardowns } from "../run-teardowns.ts";
import { publishFiles } from "../xenod/published.ts";
import { publishTestKernel, readTestKernel } from "./guest-kernel.ts";
import { type RunningServer, startXenoServer } from "./xeno-server.ts";

/** Writes a file five times a second, synced, and reads it back; says each result on the console. */
const init = `#!/bin/busybox sh
/bin/busybox --install -s /bin
echo "guest: up"
n=0
while true; do
  n=$((n + 1))
  if echo "$n" >/data/$n && sync -d /data/$n 2>/dev/null && [ "$(cat /data/$n)" = "$n" ]; then
    echo "guest: OK $n"
  else
    echo "guest: ERROR $n"
  fi
  rm -f /data/$((n - 50))
  sleep 0.2
done
`;

/** Resets the guest once, then powers it off. */
const restless = `#!/bin/busybox sh
/bin/busybox --install -s /bin
if [ -e /data/been ]; then poweroff -f; fi
touch /data/been
reboot -f
`;

/** Counts its boots in its journal; powers off in the first. */
const phoenix = `#!/bin/busybox sh
/bin/busybox --install -s /bin
echo boot >>/data/boots
sync
echo "guest: boot $(wc -l </data/boots)"
[ $(wc -l </data/boots) -gt 1 ] || poweroff -f
while true; do sleep 1; done
`;

let server: RunningServer;
let deployment: { id: string; name: string; overlay: string; kernel: string; memoryMiB: number; cpus: number };
const teardowns: (() => unknown)[] = [];

test.before(async (t) => {
  server = await startXenoServer({ teardown: (act) => void teardowns.push(act), log: t.log });
  const kernel = await publishTestKernel(server.published);
  const busybox = await readFile("/bin/busybox");
  const kernelFiles = await readTestKernel();
  const ownKernel = Object.fromEntries(Object.entries(kernelFiles).map(([name, data]) => [`boot/xeno/${name}`, data]));
  const overlay = await publishFiles(
    server.published,
    "writer",
    { "bin/busybox": busybox, "sbin/init": init, "sbin/restless": restless, "sbin/phoenix": phoenix, ...ownKernel },
    {
      executables: ["bin/busybox", "sbin/init", "sbin/restless", "sbin/phoenix"],
      directories: ["dev", "proc", "sys", "data", "root"],
    },
  );
  deployment = { id: randomUUID(), name: "guest", overlay, kernel, memoryMiB: 128, cpus: 1 };
});

test.after.always(() => runTeardowns(teardowns));

test.serial("what cannot be deployed is refused at once, with the reason", async (t) => {
  for (const [change, code] of [
    [{ overlay: "xenostore://demo/writr" }, "overlay-unknown"],
    [{ kernel: "template://Debian-kernel/6.1/current" }, "template-unknown"],
    [{ overlay: "ftp://demo" }, "scheme-unknown"],
    [
      {
        ports: [
          { published: 80, guest: 80 },
          { published: 80, guest: 81 },
        ],
      },
      "port-taken",
    ],
    [{ memoryMiB: 1_000_000 }, "memory-short"],
    [{ name: "Not A Name" }, "request-invalid"],
  ] as const) {
    const refused = server.client.deploy({ ...deployment, ...change, id: randomUUID() } as Deployment);
    await t.throwsAsync(refused, { code });
  }
  const { task } = await server.client.deploy({
    ...deployment,
    id: randomUUID(),
    name: "no-init",
    overlay: deployment.kernel,
  });
  await t.throwsAsync(server.client.waitForTask(task), { code: "init-missing" });
  t.deepEqual(await server.client.domains(), []);
  t.deepEqual((await listNamespaces(server.prefix)).sort(), [`${server.prefix}.a`, `${server.prefix}.switch`]);
});

test.serial("a deployment goes through every step until the guest's init runs", async (t) => {
  const begun = await server.client.deploy(deployment);
  t.is(begun.domain, "guest");
  t.deepEqual(await server.client.deploy(deployment), { ...begun, isRepeated: true }, "sent twice, it is done once");
  const seen: string[] = [];
  const result = await server.client
    .waitForTask(begun.task, ({ progress }) => {
      for (const { step } of progress.slice(seen.length)) seen.push(step);
    })
    .catch(async (error) => {
      t.log(await server.readLogs(), await server.client.log("guest").catch(() => ""));
      throw error;
    });
  const steps = ["accepted", "template", "overlay", "fileServer", "hypervisor", "kernel", "root", "init"];
  t.deepEqual(seen, steps);
  const { steps: stamps, address } = result as { steps: Record<string, number>; address: string };
  t.is(address, "10.77.1.1");
  t.deepEqual(
    [...steps].sort((a, b) => stamps[a] - stamps[b]),
    steps,
    "the stamps are in order",
  );
  t.log(steps.map((step) => `${step} ${stamps[step] - stamps.accepted} ms`).join(", "));
  await waitForOk(t, 3);
  const traffic = await server.client.traffic();
  t.true(traffic.some(({ from, to, bytes }) => from === "XenoServer a" && to === "XenoStore" && bytes > 0));
  t.true(server.client.sent.requests > 0 && server.client.sent.bytes > 0);
});

test.serial("the file server's worker is killed twice while the guest writes: the guest sees no error", async (t) => {
  const fileServer = new FileServerClient(server.stateDirectory);
  t.teardown(() => fileServer.close());
  for (let kill = 0; kill < 2; kill++) {
    const { worker } = await fileServer.status();
    process.kill(worker, "SIGKILL");
    const killed = performance.now();
    await waitForOk(t, (await lastOk()) + 3);
    t.log(`three writes after ${Math.round(performance.now() - killed)} ms`);
    t.not((await fileServer.status()).worker, worker);
  }
});

test.serial("Xenod is killed: the guest goes on, and the next Xenod finds it", async (t) => {
  const before = await findQemu(join(server.stateDirectory, "domains/guest"));
  await server.kill();
  await waitForOk(t, (await lastOk()) + 3);
  const stray = await createLink({ prefix: server.prefix, server: "a", domain: "stray" });
  const strayDirectory = join(server.stateDirectory, "domains/stray/journal");
  await mkdir(strayDirectory, { recursive: true });
  const fileServer = new FileServerClient(server.stateDirectory);
  t.teardown(() => fileServer.close());
  const listen = { namespace: stray.namespace, host: serverAddress, port: fileServerPort };
  await fileServer.putExport("stray", { url: deployment.overlay, journal: strayDirectory, listen });
  await server.launch();
  t.false((await listNamespaces(server.prefix)).includes(stray.namespace), "what no record speaks of is removed");
  t.false(existsSync(strayDirectory));
  await t.throwsAsync(fileServer.getExport("stray"), { code: "export-unknown" });
  const domain = await server.client.domain("guest");
  t.is(domain.state, "running");
  t.is(domain.export?.state, "serving");
  t.deepEqual(await findQemu(join(server.stateDirectory, "domains/guest")), before);
  t.is((await server.client.status()).domains.running, 1);
  await waitForOk(t, (await lastOk()) + 3);
});

for (const last of ["accepted", "fileServer", "hypervisor"])
  test.serial(
    `Xenod is killed in a deployment, after its step ${last}: the next one leaves all of it or nothing`,
    async (t) => {
      const { task, domain } = await server.client.deploy({ ...deployment, id: randomUUID(), name: "cut-off" });
      for (let seen = 0; ; ) {
        const { version, progress } = await server.client.getTask(task, { seen, waitMs: 5_000 });
        if (progress.some(({ step }) => step === last)) break;
        seen = version;
      }
      await server.kill();
      await server.launch();
      t.like(await server.client.getTask(task), { state: "failed", error: { code: "interrupted" } });
      const left = (await server.client.domains()).find(({ name }) => name === domain);
      if (left !== undefined) {
        t.log("its guest ran already");
        t.is(left.state, "running");
        await server.client.waitForTask((await server.client.remove(domain)).task);
      }
      t.is(await findQemu(join(server.stateDirectory, "domains", domain)), undefined);
      t.false(existsSync(join(server.stateDirectory, "domains", domain)));
      t.deepEqual(await readdir(join(server.stateDirectory, "exports")), ["guest.events", "guest.json"]);
      t.false((await listNamespaces(server.prefix)).includes(`${server.prefix}.a.${domain}`));
      t.is((await server.client.domain("guest")).state, "running");
    },
  );

test.serial("a guest that crashes is shown as crashed, with its resources taken back", async (t) => {
  const crashing = { ...deployment, id: randomUUID(), name: "crashing", init: "/no/such/init" };
  const refused = await server.client.deploy(crashing);
  await t.throwsAsync(server.client.waitForTask(refused.task), { code: "init-missing" });
  // It has an init, which the kernel cannot run.
  const broken = { ...deployment, id: randomUUID(), name: "crashing", init: "/data" };
  const begun = await server.client.deploy(broken);
  await t.throwsAsync(server.client.waitForTask(begun.task), { code: "guest-ended" });
  const { state, link, exported } = await server.client.domain("crashing");
  t.deepEqual({ state, link, exported }, { state: "crashed", link: false, exported: false });
  t.regex(await server.client.log("crashing"), /panic|cannot/i);
  await server.client.waitForTask((await server.client.remove("crashing")).task);
});

test.serial(
  "a guest that resets itself gets a new boot epoch, and one that powers off is shown as stopped",
  async (t) => {
    const { task, domain } = await server.client.deploy({
      ...deployment,
      id: randomUUID(),
      name: "restless",
      init: "/sbin/restless",
    });
    await server.client.waitForTask(task);
    const noticed = untilGuestEnds(server.client, domain, AbortSignal.timeout(280_000));
    noticed.catch(() => {});
    let epoch = 0;
    const end = performance.now() + 240_000;
    for (;;) {
      const { state, export: exported, link } = await server.client.domain(domain);
      epoch = Math.max(epoch, exported?.bootEpoch ?? 0);
      if (state !== "running" && !link) break;
      if (performance.now() > end) throw new Error("the guest does not end");
      await delay(50);
    }
    t.is(epoch, 1);
    await t.throwsAsync(noticed, { code: "guest-ended", message: /the guest powered off/ });
    t.like(await server.client.domain(domain), { state: "stopped", intent: "running", exported: false });
    await server.client.waitForTask((await server.client.remove(domain)).task);
  },
);

test.serial(
  "a domain so marked starts again from its journal: after it ended, and after its host booted",
  async (t) => {
    const wanted = {
      ...deployment,
      name: "phoenix",
      kernel: "overlay:/boot/xeno",
      init: "/sbin/phoenix",
      restart: "always" as const,
    };
    await server.client.waitForTask((await server.client.deploy({ ...wanted, id: randomUUID() })).task);
    const console = join(server.stateDirectory, "domains/phoenix/console.log");
    const waitForBoot = async (boot: number) => {
      const end = performance.now() + 280_000;
      while (!(await readFile(console, "latin1").catch(() => "")).includes(`guest: boot ${boot}`)) {
        if (performance.now() > end) throw new Error(`no boot ${boot}: ${await server.readLogs()}`);
        await delay(100);
      }
    };
    await waitForBoot(2);
    const first = await server.client.domain("phoenix");
    t.like(first, { state: "running", intent: "running", restarts: 1, endedBy: "power-off" });
    t.is(first.export?.bootEpoch, 65_536);
    // The host boots anew: nothing runs, and no network namespace is there.
    await server.kill();
    for (const name of ["guest", "phoenix"]) {
      const qemu = (await findQemu(join(server.stateDirectory, "domains", name)))!;
      process.kill(qemu.pid, "SIGKILL");
      await waitUntilGone(qemu.pid, qemu.startTime, 10_000);
      await deleteLink({ prefix: server.prefix, server: "a", domain: name });
      const file = join(server.stateDirectory, "domains", name, "record.json");
      await writeFile(file, JSON.stringify({ ...JSON.parse(await readFile(file, "utf8")), hostBoot: "another" }));
    }
    await stopFileServer(server.stateDirectory);
    await server.launch();
    await waitForBoot(3);
    t.like(await server.client.domain("guest"), { state: "crashed", reason: "its host was restarted" });
    t.like(await server.client.domain("phoenix"), { state: "running", restarts: 2 });
    await server.client.waitForTask((await server.client.stop("phoenix", 100)).task);
    t.like(await server.client.domain("phoenix"), { state: "stopped", intent: "stopped", link: false });
    await server.client.waitForTask((await server.client.remove("phoenix")).task);
    const written = await lastOk();
    await server.client.waitForTask((await server.client.start("guest")).task);
    t.log(`the guest had written ${written} files`);
    t.like(await server.client.domain("guest"), { state: "running", restarts: 1, address: "10.77.1.1" });
  },
);

test.serial("stopped, a guest leaves its journal only; removed, it leaves nothing", async (t) => {
  const directory = join(server.stateDirectory, "domains/guest");
  const qemu = (await findQemu(directory))!;
  await server.client.waitForTask((await server.client.stop("guest", 500)).task);
  t.is((await server.client.domain("guest")).state, "stopped");
  t.is(await readStartTime(qemu.pid), undefined);
  t.deepEqual(await readdir(join(server.stateDirectory, "exports")), []);
  t.deepEqual((await listNamespaces(server.prefix)).sort(), [`${server.prefix}.a`, `${server.prefix}.switch`]);
  t.true(existsSync(join(directory, "journal")));
  t.notRegex(await readFile(join(directory, "console.log"), "utf8"), /ERROR/);
  await server.client.waitForTask((await server.client.remove("guest")).task);
  t.false(existsSync(directory));
  await t.throwsAsync(server.client.domain("guest"), { code: "domain-unknown" });
});

test.serial("shut down, a XenoServer leaves no process and no guest's namespace", async (t) => {
  const { fileServer } = await server.client.status();
  await server.shutdown();
  for (const pid of [fileServer.keeper!, fileServer.worker!]) t.is(await readStartTime(pid), undefined);
  t.false(existsSync(join(server.stateDirectory, "file-server.sock")));
});

async function lastOk(): Promise<number> {
  const text = await readFile(join(server.stateDirectory, "domains/guest/console.log"), "latin1").catch(() => "");
  if (/guest: ERROR|Stale|Input\/output/.test(text)) throw new Error(`the guest saw an error: ${text.slice(-500)}`);
  return Number([...text.matchAll(/guest: OK (\d+)/g)].at(-1)?.[1] ?? 0);
}

async function waitForOk(t: ExecutionContext, count: number): Promise<void> {
  const end = performance.now() + 180_000;
  while ((await lastOk()) < count) {
    if (performance.now() > end) {
      t.log(await server.readLogs());
      throw new Error(`the guest did not get to its write ${count}`);
    }
    await delay(100);
  }
}
