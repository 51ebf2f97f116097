/** Runs in a real dom0: `npm run xen-lab -- test`. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import test, { type ExecutionContext } from "ava";
import { execa } from "execa";
import { identify } from "../../../../xenod/hypervisors/xl/configuration.ts";
import { type RunXl, runXl } from "../../../../xenod/hypervisors/xl/run-xl.ts";
import { createXlHypervisor, destroyForcibly } from "../../../../xenod/hypervisors/xl/xl.ts";
import { createLink } from "../../../../xenod/links/guest-link.ts";
import { claimPrefix, sweepLinks } from "../../../../xenod/links/sweep.ts";
import { createSwitch, joinSwitch } from "../../../../xenod/links/switch.ts";
import { prepareGuest } from "../../test-guest.ts";
import { testHypervisor } from "../conformance.ts";

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

testHypervisor("xl", {
  open: createXlHypervisor,
  prepare,
  async kill(directory) {
    await execa("xl", ["destroy", names.get(directory)!]);
  },
  remains: ["console.log"],
  deadlineMs,
  list: async (directory) => (await readdir(directory)).filter((name) => name !== "initramfs.cpio").sort(),
});
