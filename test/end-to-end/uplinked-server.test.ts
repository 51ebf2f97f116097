/**
 * A XenoServer as an operator configures it, with its guests on the host's own network; here a namespace plays the host, and another
 * the world. In order.
 */
import { join } from "node:path";
import test from "ava";
import { execa } from "execa";
import { localPrefix } from "../../control/cli/run-server.ts";
import { waitForPage } from "../../control/demo/pages.ts";
import { forwardPorts } from "../../xenod/links/forwarder.ts";
import { configureDevices, createNamespace, joinNames, namespacePath } from "../../xenod/links/namespaces.ts";
import { claimPrefix, sweepLinks } from "../../xenod/links/sweep.ts";
import { systemEnvironment } from "../../xenod/system-path.ts";
import { makeXeno, poll, type RunningCommand, type Xeno } from "../control/cli/xeno.ts";
import { publishPageGuest } from "./page-guest.ts";

const init = `#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc none /proc
echo boot >>/root/boots
ping -c 1 -W 5 198.51.100.9 >/dev/null 2>&1 && world=reached || world=closed
mkdir -p /www && echo "boot $(wc -l </root/boots), world $world, $(head -n 1 /etc/resolv.conf)" >/www/index.html
httpd -p 80 -h /www
for button in /dev/input/event*; do (dd if=$button bs=24 count=1 of=/dev/null 2>&1 && poweroff -f) >/dev/null & done
exec sh </dev/console >/dev/console 2>&1
`;

const prefix = `xeno-host-${process.pid}`;
const [host, world] = ["host", "world"].map((name) => joinNames(prefix, name));
const cleanup = new AsyncDisposableStack();
let xeno: Xeno;
let configuration: string;
let a: RunningCommand;

test.before(async () => {
  const t = { teardown: (act: () => unknown) => cleanup.defer(async () => void (await act())) };
  xeno = await makeXeno(t);
  // Where this process is killed, the next sweep of any finds what it left.
  await claimPrefix(prefix);
  t.teardown(async () => void (await sweepLinks(prefix)));
  t.teardown(async () => {
    for (const { name } of await xeno.json("server", "ls")) await xeno.run(["server", "stop", name, "--grace", "1"]);
    await sweepLinks(localPrefix(xeno.home));
  });
  for (const namespace of [host, world]) await createNamespace(namespace, { settings: [], devices: [] });
  await configureDevices(host, [
    `link add eth0 type veth peer name eth0 netns ${world}`,
    "addr add 198.51.100.1/24 dev eth0",
    "link set eth0 up",
  ]);
  await configureDevices(world, ["addr add 198.51.100.9/24 dev eth0", "link set eth0 up"]);
  await publishPageGuest(xeno, "xenostore://demo/page", init);
  const guests = {
    ...{ addresses: "203.0.113.0/28", device: "eth0", egress: "masquerade" },
    ...{ ports: "20000-20099", dns: ["192.0.2.53"] },
  };
  configuration = join(await xeno.write("etc", { "a.json": JSON.stringify({ name: "a", guests }) }), "a.json");
});
test.after.always(() => cleanup.disposeAsync());

async function waitForGuest(text: string): Promise<void> {
  const target = { host: "198.51.100.1", port: 20_080 };
  const forwarder = await forwardPorts(world, [{ listen: { host: "127.0.0.1", port: 0 }, target }]);
  try {
    await waitForPage(`http://127.0.0.1:${forwarder.ports[0]}/`, text, 240_000, AbortSignal.timeout(250_000));
  } finally {
    await forwarder.close();
  }
}

const run = () => xeno.start(["server", "run", "--config", configuration], { namespace: host });

test.serial("a guest's published port is reached from the world, and the guest reaches the world", async (t) => {
  a = await run();
  const words = ["--on", "a", "--memory", "128", "--restart", "host-boot"];
  const refused = await xeno.run(["deploy", "xenostore://demo/page", ...words, "--port", "22:22", "--json"]);
  t.is(JSON.parse(refused.stdout)[0].error.code, "ports-refused");
  const [up] = await xeno.json("deploy", "xenostore://demo/page", ...words, "--port", "20080:80");
  t.is(up.address, "203.0.113.1");
  await t.notThrowsAsync(waitForGuest("boot 1, world reached, nameserver 192.0.2.53"));
});

test.serial("halted, what ran starts again from its journal when the XenoServer runs again", async (t) => {
  t.deepEqual(await xeno.json("server", "stop", "a", "--halt"), { stopped: "a" });
  await poll("its end", () => a.process.exitCode !== null);
  a = await run();
  await t.notThrowsAsync(waitForGuest("boot 2, world reached"));
  t.like((await xeno.json("ps"))[0], { domain: "a/page", state: "running", address: "203.0.113.1" });
});

test.serial("stopped, it leaves no device and no rules on the host", async (t) => {
  await xeno.json("server", "stop", "a", "--grace", "1", "--remove");
  const inside = (...command: string[]) =>
    execa("nsenter", [`--net=${namespacePath(host)}`, ...command], { env: systemEnvironment });
  await poll("its end", () => a.process.exitCode !== null);
  t.is((await inside("nft", "list", "tables")).stdout, "");
  const devices = JSON.parse((await inside("ip", "-j", "link")).stdout).map(({ ifname }: { ifname: string }) => ifname);
  t.deepEqual(devices.sort(), ["eth0", "lo"]);
});
