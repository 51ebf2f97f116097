/** A real guest that says it is another: what it sends under other names goes nowhere. */
import test from "ava";
import { createQemuHypervisor } from "../../../xenod/hypervisors/qemu/qemu.ts";
import { createLink } from "../../../xenod/links/guest-link.ts";
import { applyRules } from "../../../xenod/links/namespaces.ts";
import { claimPrefix, sweepLinks } from "../../../xenod/links/sweep.ts";
import { createSwitch, joinSwitch } from "../../../xenod/links/switch.ts";
import { GuestShell, prepareGuest, waitForConsole } from "../test-guest.ts";
import { countSources, readCounts } from "./counting.ts";

const prefix = `xeno-spoof-${process.pid}`;
const own = "10.77.1.1";
const neighbour = "10.77.1.2";

test.before(async () => {
  await claimPrefix(prefix);
  await createSwitch(prefix);
  await joinSwitch({ prefix, name: "server", address: "10.77.0.1", forwards: true, routes: [] });
});
test.after.always(() => sweepLinks(prefix));

test("a guest is heard under its own addresses only, and reaches no other guest's file server", async (t) => {
  t.timeout(300_000);
  const signal = AbortSignal.timeout(300_000);
  const server = `${prefix}.server`;
  const link = await createLink({ prefix, server: "server", domain: "liar", address: own });
  const other = await createLink({ prefix, server: "server", domain: "other", address: neighbour });
  // Counts what arrives from the guest's uplink, before anything else looks at it, and what arrives at the other guest's link.
  await applyRules(server, countSources("d*", ["169.254.1.2", own, neighbour, "10.99.9.9"]));
  await applyRules(other.namespace, countSources("up0", [own, neighbour, "10.99.9.9"]));
  const specification = { ...(await prepareGuest(t, "liar")), link };
  const hypervisor = createQemuHypervisor({ accelerator: "tcg" });
  const domain = await hypervisor.create(specification, signal);
  await domain.unpause();
  await waitForConsole(specification.directory, "guest is up");
  const shell = new GuestShell(t, specification.directory);
  await shell.run(`ip addr add ${own}/32 dev eth0; ip route add default via 169.254.1.1 src ${own}`);
  const ping = (source: string, target: string) => shell.run(`ping -c 2 -W 1 -I ${source} ${target}`);

  await ping(own, neighbour);
  for (const address of [neighbour, "10.99.9.9"]) {
    await shell.run(`ip addr add ${address}/32 dev eth0`);
    await ping(address, "10.77.0.1");
    await shell.run(`ip addr del ${address}/32 dev eth0`);
  }
  // Not even its own link's address is forwarded.
  await ping("169.254.1.2", "10.77.0.1");
  const counted = await readCounts(server);
  t.true(counted[own] > 0, "what it is allowed is heard");
  t.deepEqual({ ...counted, [own]: 0 }, { [own]: 0, [neighbour]: 0, "10.99.9.9": 0, "169.254.1.2": 0 });
  t.true((await readCounts(other.namespace))[own] > 0);

  // The other guest's file server listens on the other's link, on the very address that this guest's does.
  const reached = await shell.run(`nc -w 3 ${neighbour} 2049 </dev/null; nc -w 3 10.77.0.1 2049 </dev/null`);
  t.not(reached.status, 0);

  // With another machine's hardware address it is not heard at all.
  await shell.run("ip link set eth0 down; ip link set eth0 address 02:78:65:6e:00:77; ip link set eth0 up");
  await shell.run("ip route add default via 169.254.1.1");
  const before = (await readCounts(server))[own];
  await ping(own, neighbour);
  t.is((await readCounts(server))[own], before);
  await domain.destroy();
});
