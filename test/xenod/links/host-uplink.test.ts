/**
 * A namespace plays the host, one the world, and an address in the XenoServer's namespace a guest:
 *
 *     guest 203.0.113.5 - XenoServer - host 198.51.100.1 - world 198.51.100.9 and, behind it, 10.9.9.9
 */
import { join } from "node:path";
import test from "ava";
import { execa } from "execa";
import type { HostUplink } from "../../../xenod/links/host-uplink.ts";
import { configureDevices, createNamespace, joinNames, namespacePath } from "../../../xenod/links/namespaces.ts";
import { publishPorts, sweepPublishedPorts, unpublishPorts } from "../../../xenod/links/published-ports.ts";
import { claimPrefix, sweepLinks } from "../../../xenod/links/sweep.ts";
import { systemEnvironment } from "../../../xenod/system-path.ts";

const prefix = `xeno-up-${process.pid}`;
const [host, world, server] = ["host", "world", "a"].map((name) => joinNames(prefix, name));
const uplink: HostUplink = { prefix, server: "a", pool: "203.0.113.0/28", device: "eth0", egress: "none" };
const guest = "203.0.113.5";
const settings = ["net/ipv6/conf/all/disable_ipv6=1"];

const inside = (namespace: string, ...command: string[]) =>
  execa("nsenter", [`--net=${namespacePath(namespace)}`, ...command], { reject: false, env: systemEnvironment });

async function apply(change: Partial<HostUplink> & { remove?: boolean }): Promise<string> {
  const program = join(import.meta.dirname, "uplink-program.ts");
  const words = ["--no-warnings", program, JSON.stringify({ ...uplink, ...change })];
  const { failed, stderr } = await inside(host, process.execPath, ...words);
  return failed ? stderr : "";
}

async function pings(from: string, source: string, to: string): Promise<boolean> {
  return !(await inside(from, "busybox", "ping", "-I", source, "-c", "1", "-W", "1", to)).failed;
}

test.before(async () => {
  await claimPrefix(prefix);
  for (const namespace of [host, world]) await createNamespace(namespace, { settings, devices: [] });
  await createNamespace(server, {
    settings: [...settings, "net/ipv4/ip_forward=1"],
    devices: [`addr add ${guest}/32 dev lo`, "addr add 192.0.2.7/32 dev lo"],
  });
  await configureDevices(host, [
    `link add eth0 type veth peer name eth0 netns ${world}`,
    "addr add 198.51.100.1/24 dev eth0",
    "link set eth0 up",
    "route add 10.9.9.9/32 via 198.51.100.9",
  ]);
  await configureDevices(world, [
    "addr add 198.51.100.9/24 dev eth0",
    "addr add 10.9.9.9/32 dev lo",
    "link set eth0 up",
    "route add 203.0.113.0/28 via 198.51.100.1",
  ]);
});
test.after.always(() => sweepLinks(prefix));

test.serial("without egress, guests are reached from the world and begin nothing", async (t) => {
  t.is(await apply({}), "");
  t.is(await apply({}), "", "made twice, it is the same");
  t.true(await pings(world, "198.51.100.9", guest));
  t.true(await pings(host, "198.51.100.1", guest));
  t.false(await pings(server, guest, "198.51.100.9"));
  t.false(await pings(server, guest, "198.51.100.1"));
});

test.serial(
  "with egress, guests reach the world, but not the host, nor private addresses, nor under another's",
  async (t) => {
    t.is(await apply({ egress: "routed" }), "");
    t.true(await pings(server, guest, "198.51.100.9"));
    t.false(await pings(server, guest, "198.51.100.1"));
    t.false(await pings(server, guest, "10.9.9.9"));
    t.false(await pings(server, "192.0.2.7", "198.51.100.9"));
    t.is(await apply({ egress: "routed", allow: ["10.9.9.0/24"] }), "");
    t.true(await pings(server, guest, "10.9.9.9"));
  },
);

test.serial("masqueraded, guests reach who knows no way back to them", async (t) => {
  await configureDevices(world, ["route del 203.0.113.0/28"]);
  t.is(await apply({ egress: "routed" }), "");
  t.false(await pings(server, guest, "198.51.100.9"));
  t.is(await apply({ egress: "masquerade" }), "");
  t.true(await pings(server, guest, "198.51.100.9"));
  t.regex(await apply({ device: "eth0; reboot" }), /uplink-invalid/);
  t.regex(await apply({ allow: ["10.0.0.0/8 } accept"] }), /uplink-invalid/);
});

test.serial("published ports are tables that are replaced, removed and swept", async (t) => {
  const tables = async () =>
    (await inside(host, "nft", "list", "tables")).stdout.split("\n").filter((line) => /xeno_[0-9a-f]/.test(line))
      .length;
  const owner = { prefix, server: "a", domain: "web", namespace: host };
  await publishPorts(owner, guest, [{ published: 8080, guest: 80 }]);
  await publishPorts({ ...owner, domain: "other" }, guest, [{ published: 53, guest: 5353, protocol: "udp" }]);
  await publishPorts(owner, guest, [{ published: 8081, guest: 80 }]);
  const rules = (await inside(host, "nft", "list", "ruleset")).stdout;
  t.regex(rules, /fib daddr type local tcp dport 8081 dnat to 203\.0\.113\.5:80/);
  t.notRegex(rules, /8080/);
  t.is(await tables(), 2);
  await sweepPublishedPorts(owner, ["other"]);
  t.is(await tables(), 1);
  await unpublishPorts({ ...owner, domain: "other" });
  await unpublishPorts({ ...owner, domain: "other" });
  t.is(await tables(), 0);
});

test.serial("removed, an uplink leaves no device and no rules on the host", async (t) => {
  t.is(await apply({ remove: true }), "");
  t.is(await apply({ remove: true }), "");
  t.is((await inside(host, "nft", "list", "tables")).stdout, "");
  const { stdout } = await inside(host, "ip", "-j", "link");
  t.deepEqual(
    JSON.parse(stdout)
      .map(({ ifname }: { ifname: string }) => ifname)
      .sort(),
    ["eth0", "lo"],
  );
});
