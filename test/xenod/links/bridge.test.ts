/** A link whose guest comes with a device of its own, as Xen's do: a namespace plays the guest, a veth pair its vif. */
import test from "ava";
import { execa } from "execa";
import { guestLinkAddress, guestMac, serverAddress } from "../../../xenod/links/addresses.ts";
import { createLink } from "../../../xenod/links/guest-link.ts";
import { applyRules, configureDevices, createNamespace, namespacePath } from "../../../xenod/links/namespaces.ts";
import { claimPrefix, sweepLinks } from "../../../xenod/links/sweep.ts";
import { createSwitch, joinSwitch } from "../../../xenod/links/switch.ts";
import { poll } from "../test-guest.ts";
import { countSources, readCounts } from "./counting.ts";

const prefix = `xeno-bridge-${process.pid}`;
const own = "10.77.1.1";
const stranger = "10.99.9.9";
const server = `${prefix}.server`;
const guest = `${prefix}.guest`;

test.before(async () => {
  await claimPrefix(prefix);
  await createSwitch(prefix);
  await joinSwitch({ prefix, name: "server", address: "10.77.0.1", forwards: true, routes: [] });
});
test.after.always(() => sweepLinks(prefix));

test("a link with a bridge hears its guest under its own addresses only, also over a second vif after a reset", async (t) => {
  const link = await createLink({ prefix, server: "server", domain: "web", address: own, kind: "bridge" });
  await applyRules(server, countSources("d*", [guestLinkAddress, own, stranger]));
  for (const vif of ["vif1.0", "vif2.0"]) {
    await createNamespace(guest, {
      settings: [],
      devices: [
        `link add eth0 address ${guestMac} type veth peer name ${vif} netns ${link.namespace}`,
        `addr add ${guestLinkAddress}/30 dev eth0`,
        `addr add ${own}/32 dev eth0`,
        `addr add ${stranger}/32 dev eth0`,
        "link set eth0 up",
        `route add default via ${serverAddress} src ${own}`,
      ],
    });
    // As vif-script.sh does.
    await configureDevices(link.namespace, [`link set ${vif} master tap0 up`]);
    const before = (await readCounts(server))[own];
    await ping(stranger);
    await ping(guestLinkAddress);
    await poll("what it is allowed to be heard", async () => {
      await ping(own);
      return (await readCounts(server))[own] > before;
    });
    t.like(await readCounts(server), { [stranger]: 0, [guestLinkAddress]: 0 });
    const heard = (await readCounts(server))[own];
    await configureDevices(guest, [
      "link set eth0 down",
      "link set eth0 address 02:78:65:6e:00:77",
      "link set eth0 up",
    ]);
    await configureDevices(guest, [`route replace default via ${serverAddress} src ${own}`]);
    await ping(own);
    t.is((await readCounts(server))[own], heard, "another machine's hardware address is not heard");
    // The vif goes with its domain.
    await configureDevices(guest, ["link delete eth0"]);
  }
});

/** Nothing answers: what comes from guests may pass through a XenoServer, and not talk to it. */
async function ping(source: string): Promise<void> {
  const options = [`--net=${namespacePath(guest)}`, "busybox", "ping", "-c", "1", "-W", "1", "-I", source, "10.77.0.1"];
  await execa("nsenter", options, { reject: false, stdin: "ignore" });
}
