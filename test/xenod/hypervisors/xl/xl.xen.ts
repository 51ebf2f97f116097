/** Runs in a real dom0: `npm run xen-lab -- test`. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir } from "node:fs/promises";
import { PassThrough } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import test, { type ExecutionContext } from "ava";
import { execa } from "execa";
import { identify } from "../../../../xenod/hypervisors/xl/configuration.ts";
import { type RunXl, runXl } from "../../../../xenod/hypervisors/xl/run-xl.ts";
import { createXlHypervisor, destroyForcibly } from "../../../../xenod/hypervisors/xl/xl.ts";
import { createLink } from "../../../../xenod/links/guest-link.ts";
import { claimPrefix, sweepLinks } from "../../../../xenod/links/sweep.ts";
import { createSwitch, joinSwitch } from "../../../../xenod/links/switch.ts";
import { GuestShell, prepareGuest, waitForConsole } from "../../test-guest.ts";
import { connectPair, testHypervisor } from "../conformance.ts";

const prefix = `xeno-xl-${process.pid}`;
/** All of it is emulated. */
const deadlineMs = 1_200_000;
const names = new Map<string, string>();

test.before(async () => {
  await claimPrefix(prefix);
  await createSwitch(prefix);
  await joinSwitch({ prefix, name: "server", address: "10.77.0.1", forwards: true, routes: [] });
});
test.after.always(() => sweepLinks(prefix));

async function prepare(t: ExecutionContext, name: string, options?: string) {
  const link = await createLink({ prefix, server: "server", domain: name, kind: "bridge" });
  const guest = await prepareGuest(t, name, options, { devices: "xen", end: destroyForcibly });
  names.set(guest.directory, identify(name, guest.directory).name);
  return { ...guest, link };
}

test.serial("xl: what a killed xl left half-built is no domain, and who looks for it removes it", async (t) => {
  t.timeout(deadlineMs);
  const guest = await prepare(t, "half");
  const { uuid } = identify("half", guest.directory);
  const isThere = async () => (await runXl(["list", "-v"], { purpose: "looking" })).includes(uuid);
  const killed = Promise.withResolvers<void>();
  const run: RunXl = async (options, how) => {
    if (options[0] !== "create") return await runXl(options, how);
    const xl = spawn("xl", options, { stdio: "ignore", detached: true });
    const ended = once(xl, "exit");
    while (!(await isThere())) await delay(10);
    process.kill(-xl.pid!, "SIGKILL");
    await ended;
    killed.resolve();
    // And so was its Xenod.
    return await new Promise(() => {});
  };
  const signal = AbortSignal.timeout(deadlineMs);
  void createXlHypervisor({ run }).create(guest, signal);
  await killed.promise;
  t.is(await createXlHypervisor().find("half", guest.directory), undefined);
  t.false(await isThere());
  await (await createXlHypervisor().create(guest, signal)).destroy();
});

test.serial("xl: a guest whose xl is killed while it is moved or suspended goes on, and remembers", async (t) => {
  t.timeout(deadlineMs);
  const signal = AbortSignal.timeout(deadlineMs);
  const guest = await prepare(t, "orphan");
  const domain = await createXlHypervisor().create(guest, signal);
  await domain.unpause();
  await waitForConsole(guest.directory, "guest is up", 1, deadlineMs);
  const shell = new GuestShell(t, guest.directory, domain.openConsole(), deadlineMs);
  await shell.run("word=kept");
  const expectRuns = async () => {
    if ((await domain.state()) === "paused") await domain.unpause();
    t.is(await domain.state(), "running");
    t.deepEqual(await shell.run("echo $word"), { status: 0, output: "kept\n" });
  };
  for (const hasStopped of [false, true]) {
    const { from, to } = await connectPair(t);
    const moving = await domain.migrate(from, signal);
    await once(to.resume(), "data");
    if (hasStopped) await moving.stopped();
    await killXl("migrate -s ");
    // All of it may have been sent by then.
    await moving.finish().catch((error) => t.is(error.code, "save-failed"));
    await moving.cancel();
    await expectRuns();
  }
  await domain.quiesce!(signal);
  t.is(await domain.state(), "paused");
  await killXl("save -p ");
  await expectRuns();
  // What xl was killed in has not spoilt it for the next one.
  await domain.quiesce!(signal);
  await domain.save(new PassThrough().resume(), signal);
  await expectRuns();
  await domain.destroy();
});

async function killXl(words: string): Promise<void> {
  const { stdout } = await execa("pgrep", ["-f", `xl ${words}`]);
  for (const pid of stdout.split("\n")) process.kill(Number(pid), "SIGKILL");
}

for (const guests of ["pvh", "pv"] as const)
  testHypervisor(`xl ${guests}`, {
    open: () => createXlHypervisor({ guests }),
    prepare,
    async kill(directory) {
      await execa("xl", ["destroy", names.get(directory)!]);
    },
    remains: ["console.log"],
    deadlineMs,
    list: async (directory) => (await readdir(directory)).filter((name) => name !== "initramfs.cpio").sort(),
  });
