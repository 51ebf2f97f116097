/** Runs in a real dom0: `npm run xen-lab -- test`. */
import { readdir } from "node:fs/promises";
import test, { type ExecutionContext } from "ava";
import { execa } from "execa";
import { identify } from "../../../../xenod/hypervisors/xl/configuration.ts";
import { createXlHypervisor, destroyForcibly } from "../../../../xenod/hypervisors/xl/xl.ts";
import { createLink } from "../../../../xenod/links/guest-link.ts";
import { claimPrefix, sweepLinks } from "../../../../xenod/links/sweep.ts";
import { createSwitch, joinSwitch } from "../../../../xenod/links/switch.ts";
import { prepareGuest } from "../../test-guest.ts";
import { testHypervisor } from "../conformance.ts";

const prefix = `xeno-xl-${process.pid}`;
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

testHypervisor("xl", {
  open: createXlHypervisor,
  prepare,
  async kill(directory) {
    await execa("xl", ["destroy", names.get(directory)!]);
  },
  remains: ["console.log"],
  // All of it is emulated.
  deadlineMs: 1_200_000,
  list: async (directory) => (await readdir(directory)).filter((name) => name !== "initramfs.cpio").sort(),
});
