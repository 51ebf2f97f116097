import { fork } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import test from "ava";
import { execa } from "execa";
import { createQemuHypervisor } from "../../../xenod/hypervisors/qemu/qemu.ts";
import { fileServerPort, serverAddress } from "../../../xenod/links/addresses.ts";
import { forwardPorts } from "../../../xenod/links/forwarder.ts";
import { createLink, deleteLink, listLinks } from "../../../xenod/links/guest-link.ts";
import { openListener } from "../../../xenod/links/listener.ts";
import { listNamespaces, namespacePath } from "../../../xenod/links/namespaces.ts";
import { claimPrefix, sweepLinks } from "../../../xenod/links/sweep.ts";
import { createSwitch, joinSwitch } from "../../../xenod/links/switch.ts";
import { GuestShell, poll, prepareGuest, waitForConsole } from "../test-guest.ts";

const signal = AbortSignal.timeout(120_000);
const prefix = `xeno-links-${process.pid}`;
const routes = [
  { pool: "10.77.1.0/24", via: "10.77.0.1" },
  { pool: "10.77.2.0/24", via: "10.77.0.2" },
];
const otherRoutes = (address: string) => routes.filter(({ via }) => via !== address);
const servers = ["10.77.0.1", "10.77.0.2"].map((address, index) => ({
  prefix,
  name: `server${index + 1}`,
  address,
  forwards: true,
  routes: otherRoutes(address),
}));
const client = { prefix, name: "client", address: "10.77.0.254", forwards: false, routes };
const guestAddress = "10.77.1.5";

async function buildNetwork() {
  await createSwitch(prefix);
  const [server1] = [await joinSwitch(servers[0]), await joinSwitch(servers[1])];
  const outside = await joinSwitch(client);
  const link = await createLink({ prefix, server: "server1", domain: "web", address: guestAddress });
  return { server1, outside, link };
}

async function ping(namespace: string, address: string): Promise<boolean> {
  const options = [`--net=${namespacePath(namespace)}`, "busybox", "ping", "-c", "1", "-W", "1", address];
  return !(await execa("nsenter", options, { reject: false })).failed;
}

async function describeHost(): Promise<string> {
  const commands = ["ip -j addr", "ip route show table all", "nft list ruleset"];
  const outputs = await Promise.all(commands.map((command) => execa(command, { shell: true })));
  const forwarding = await readFile("/proc/sys/net/ipv4/ip_forward", "utf8");
  // Addresses age and other tests come and go; devices, addresses and rules of ours would stand out.
  return (
    outputs.map(({ stdout }) => stdout.replaceAll(/"(preferred|valid)_life_time":\d+/g, "")).join("\n") + forwarding
  );
}

test.before(() => claimPrefix(prefix));
test.after.always(() => sweepLinks(prefix));

test.serial("making the network twice changes nothing, and the host's own network nothing at all", async (t) => {
  const before = await describeHost();
  const first = await buildNetwork();
  const inode = async () => (await execa("stat", ["-c", "%i", namespacePath(first.link.namespace)])).stdout;
  const made = await inode();
  t.deepEqual(await buildNetwork(), first);
  t.is(await inode(), made);
  t.is(await describeHost(), before);
  t.deepEqual(await listLinks(prefix, "server1"), ["web"]);
  t.deepEqual(await listLinks(prefix, "server2"), []);
  t.true(await ping(first.outside, "10.77.0.1"));
  t.true(await ping(first.server1, "10.77.0.2"));

  // One that was killed half-way is made anew.
  // Its inode number tells nothing: the kernel may give the new one the same.
  await execa("ip", ["-n", first.link.namespace, "link", "add", "left", "type", "bridge"]);
  await execa("ip", ["-n", first.link.namespace, "link", "set", "lo", "alias", "half"]);
  await buildNetwork();
  const { failed } = await execa("ip", ["-n", first.link.namespace, "link", "show", "left"], { reject: false });
  t.true(failed);
});

test.serial(
  "a guest is reached from outside, and reaches nothing that it should not, whatever it claims to be",
  async (t) => {
    const { outside, link } = await buildNetwork();
    const listener = await openListener(link.namespace, serverAddress, fileServerPort, signal);
    const hidden = await openListener(link.namespace, serverAddress, 22, signal);
    const files = createServer((_, response) => response.end("files"));
    const secrets = createServer((_, response) => response.end("secret"));
    t.teardown(() => Promise.all([files.close(), secrets.close()]));
    files.listen(listener as never);
    secrets.listen(hidden as never);
    await Promise.all([once(files, "listening"), once(secrets, "listening")]);

    const specification = { ...(await prepareGuest(t, "web")), link };
    const domain = await createQemuHypervisor({ accelerator: "tcg" }).create(specification, signal);
    await domain.unpause();
    await waitForConsole(specification.directory, "guest is up");
    const shell = new GuestShell(t, specification.directory);
    const succeeds = async (command: string) => (await shell.run(`${command} >/dev/null 2>&1`)).status === 0;
    await shell.run(
      `ip addr add ${guestAddress}/32 dev eth0; ip route add default via ${serverAddress} src ${guestAddress}`,
    );

    t.is((await shell.run(`wget -qO - http://${serverAddress}:${fileServerPort}/`)).output, "files");

    t.false(await succeeds(`timeout 1 wget -qO - http://${serverAddress}:22/`));
    t.true(await succeeds("ping -c 1 -W 2 10.77.0.254"));
    t.false(await succeeds("ping -c 1 -W 1 10.77.0.1"));
    t.false(await succeeds(`ping -c 1 -W 1 ${serverAddress}`));
    t.false(await succeeds("ping -c 1 -W 1 169.254.2.1"));

    await shell.run("mkdir /www && echo hello >/www/index.html && httpd -h /www");
    const forwarder = await forwardPorts(outside, [
      { listen: { host: "127.0.0.1", port: 0 }, target: { host: guestAddress, port: 80 } },
      { listen: { host: "127.0.0.1", port: 0 }, target: { host: guestAddress, port: 81 } },
    ]);
    t.teardown(() => forwarder.close());
    t.is(await (await fetch(`http://127.0.0.1:${forwarder.ports[0]}/`)).text(), "hello\n");
    await t.throwsAsync(fetch(`http://127.0.0.1:${forwarder.ports[1]}/`));
    t.true(await ping(outside, guestAddress));

    // Another's address, and another's MAC.
    await shell.run("ip addr add 10.77.1.6/32 dev eth0");
    t.false(await succeeds("ping -c 1 -W 1 -I 10.77.1.6 10.77.0.254"));
    t.true(await succeeds("ping -c 1 -W 2 10.77.0.254"));
    await shell.run("ip link set eth0 down; ip link set eth0 address 02:00:00:00:00:01; ip link set eth0 up");
    await shell.run(`ip route add default via ${serverAddress} src ${guestAddress}`);
    t.false(await succeeds("ping -c 1 -W 1 10.77.0.254"));
    t.false(await succeeds(`timeout 1 wget -qO - http://${serverAddress}:${fileServerPort}/`));
    const counted = await execa("ip", ["-n", link.namespace, "-s", "-j", "link", "show", link.tap]);
    t.true(JSON.parse(counted.stdout)[0].stats64.rx.packets > 0);
    await domain.destroy();
  },
);

test.serial("a removed link is gone on both sides; removing it again is no error", async (t) => {
  const { server1 } = await buildNetwork();
  const uplinks = async () => (await execa("ip", ["-n", server1, "-br", "link"])).stdout.match(/^d/gm)?.length ?? 0;
  t.is(await uplinks(), 1);
  await deleteLink({ prefix, server: "server1", domain: "web" });
  t.is(await uplinks(), 0);
  t.deepEqual(await listLinks(prefix, "server1"), []);
  await deleteLink({ prefix, server: "server1", domain: "web" });
});

test.serial("a listening socket keeps connections waiting while the process that accepted is replaced", async (t) => {
  const { outside, server1 } = await buildNetwork();
  const listener = await openListener(outside, client.address, 7000, signal);
  t.teardown(() => listener.close());
  const accept = async (name: string) => {
    const child = fork(new URL("accepting-process.ts", import.meta.url), [name], { execArgv: ["--no-warnings"] });
    t.teardown(() => child.kill("SIGKILL"));
    child.send({}, listener as never, { keepOpen: true });
    await once(child, "message");
    return child;
  };
  const inside = [`--net=${namespacePath(server1)}`];
  const get = () => execa("nsenter", [...inside, "busybox", "wget", "-qO-", `http://${client.address}:7000/`]);

  const first = await accept("first");
  t.is((await get()).stdout, "first");
  first.kill("SIGKILL");
  await once(first, "exit");
  const waiting = get();
  const connected = [...inside, "ss", "-Htn", "state", "established", "dport", "=", "7000"];
  await poll("the connection", async () => (await execa("nsenter", connected)).stdout !== "");
  await accept("second");
  t.is((await waiting).stdout, "second");

  const taken = openListener(outside, client.address, 7000, signal);
  await t.throwsAsync(taken, { code: "listen-failed", message: /EADDRINUSE/ });
  await t.throwsAsync(openListener(outside, "10.99.9.9", 7000, signal), { code: "listen-failed" });
  await t.throwsAsync(openListener(`${prefix}.none`, "127.0.0.1", 7000, signal), { code: "listen-failed" });
});

test.serial("a taken port is named, and no other of the same request stays taken", async (t) => {
  const { outside } = await buildNetwork();
  const target = { host: client.address, port: 80 };
  const forwarder = await forwardPorts(outside, [{ listen: { host: "127.0.0.1", port: 0 }, target }]);
  const [port] = forwarder.ports;
  const free = await forwardPorts(outside, [{ listen: { host: "127.0.0.1", port: 0 }, target }]);
  await free.close();
  const listens = [...free.ports, port].map((wanted) => ({ listen: { host: "127.0.0.1", port: wanted }, target }));
  await t.throwsAsync(forwardPorts(outside, listens), { code: "listen-failed", message: new RegExp(`:${port}`) });
  await (await forwardPorts(outside, listens.slice(0, 1))).close();
  await forwarder.close();
});

test.serial("names that would run into each other or into paths are refused", async (t) => {
  for (const domain of ["", "a.b", "../x", "A", "x".repeat(41)]) {
    await t.throwsAsync(createLink({ prefix, server: "server1", domain }), { code: "name-invalid" });
  }
  const badAddress = createLink({ prefix, server: "server1", domain: "x", address: "10.77.1.5; reboot" });
  await t.throwsAsync(badAddress, { code: "address-invalid" });
  t.false((await listNamespaces(prefix)).includes(`${prefix}.server1.x`));
});
