/** The `xeno` command against real XenoServers and a tiny guest, as the README types it. In order. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { localPrefix } from "../../control/cli/run-server.ts";
import { waitForPage } from "../../control/demo/pages.ts";
import { forwardPorts } from "../../xenod/links/forwarder.ts";
import { listNamespaces } from "../../xenod/links/namespaces.ts";
import { sweepLinks } from "../../xenod/links/sweep.ts";
import { makeXeno, poll, type RunningCommand, type Xeno } from "../control/cli/xeno.ts";
import { publishPageGuest } from "./page-guest.ts";

/** Serves a page, talks on its console, and powers off when it is told to. */
const init = `#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc none /proc
mkdir -p /www && . /etc/xeno/environment; echo "page of $(cat /proc/sys/kernel/hostname), $STAGE: $(cat /etc/note)" >/www/index.html
httpd -p 80 -h /www
for button in /dev/input/event*; do (dd if=$button bs=24 count=1 of=/dev/null 2>&1 && poweroff -f) >/dev/null & done
echo "guest: up" >/dev/console
exec sh </dev/console >/dev/console 2>&1
`;

let xeno: Xeno;
let a: RunningCommand;
const cleanup = new AsyncDisposableStack();
const overlay = "xenostore://demo/page";
const listening = ["--listen", "127.0.0.1:0"];

test.before(async () => {
  const t = { teardown: (act: () => unknown) => cleanup.defer(async () => void (await act())) };
  xeno = await makeXeno(t);
  t.teardown(async () => {
    // Where a test failed; else there is nothing to do.
    for (const { name } of await xeno.json("server", "ls")) await xeno.run(["server", "stop", name, "--grace", "1"]);
    await sweepLinks(localPrefix(xeno.home));
  });
  await publishPageGuest(xeno, overlay, init);
});

// Each of them, also where one fails.
test.after.always(() => cleanup.disposeAsync());

test.serial("two XenoServers start at once, each with its place; a name that runs is refused", async (t) => {
  [a] = await Promise.all(["a", "b"].map((name) => xeno.start(["server", "run", "--name", name, ...listening])));
  const servers = await xeno.json("server", "ls");
  t.deepEqual(
    servers.map(({ name, status, running }: Record<string, unknown>) => [name, status, running]),
    [
      ["a", "up", 0],
      ["b", "up", 0],
    ],
  );
  const pools = await Promise.all(["a", "b"].map((name) => readFile(join(xeno.home, "servers", name, "server.json"))));
  t.not(JSON.parse(pools[0].toString()).number, JSON.parse(pools[1].toString()).number);
  const refused = await xeno.fail(["server", "run", "--name", "a"]);
  t.is(refused.code, "in-use");
  t.regex(refused.message, new RegExp(`process ${a.process.pid}$`));
  const sameState = await xeno.fail(["server", "run", "--name", "c", "--state", join(xeno.home, "servers/a")]);
  t.is(sameState.code, "in-use");
  t.is((await xeno.json("server", "ls")).length, 2, "what did not start is not there");
});

test.serial("a deployment that is interrupted is taken back", async (t) => {
  const deploying = xeno.spawn(["deploy", overlay, "--on", "a", "--memory", "128", "--json"]);
  let stderr = "";
  deploying.stderr!.on("data", (text) => {
    stderr += text;
  });
  const exited = new Promise((resolve) => deploying.once("exit", resolve));
  await poll("the guest's start", () => stderr.includes("a: kernel"));
  deploying.kill("SIGINT");
  t.is(await exited, 130);
  t.deepEqual(await xeno.json("ps"), []);
});

test.serial("several XenoServers are brought the same ahead of time; what cannot be had is told of each", async (t) => {
  const rows = await xeno.json("template", "precache", overlay, "--on", "a,b");
  t.like(rows, [
    { server: "a", error: undefined },
    { server: "b", error: undefined },
  ]);
  t.is(rows[0].tree, rows[1].tree);
  t.true(rows[1].brought > 0, "nothing has run there");
  const again = await xeno.run(["template", "precache", overlay, "nothing", "--on", "a,b", "--json"]);
  t.is(again.code, 3, again.stderr);
  const told = JSON.parse(again.stdout).map((row: { url: string; brought: number; error?: { code: string } }) => [
    row.brought,
    row.error?.code,
  ]);
  t.deepEqual(told, [...told.slice(0, 2), ...told.slice(0, 2)], "the same of both");
  t.deepEqual(told.slice(0, 2), [
    [0, undefined],
    [0, "template-unknown"],
  ]);
});

test.serial("a deployment with a XenoServer down goes on with the others; the exit code tells", async (t) => {
  await xeno.json("server", "stop", "b");
  const document = {
    overlay,
    environment: { STAGE: "test" },
    files: [{ path: "/etc/note", content: "for all" }],
    ports: [{ published: 8080, guest: 80 }],
    servers: { a: { hostname: "earl", files: [{ path: "/etc/note", content: "for a" }] }, b: {} },
  };
  const folder = await xeno.write("web", { "web.json": JSON.stringify(document) });
  const options = ["--memory", "128", "--cpus", "1", "--name", "web", "--append", "quiet", "--id", "request-of-web"];
  const deploying = ["deploy", join(folder, "web.json"), ...options, "--json"];
  const { code, stdout, stderr } = await xeno.run(deploying);
  t.is(code, 3, stderr);
  const [up, down] = JSON.parse(stdout);
  t.like(up, { server: "a", domain: "web" });
  t.regex(up.address, /^10\.77\.[12]\.1$/);
  t.true(up.bootMs > 0);
  t.like(down, { server: "b", error: { code: "server-unreachable" } });
  const [again] = JSON.parse((await xeno.run(deploying)).stdout);
  t.deepEqual(again, up, "the same request is done once");
  const none = await xeno.run(["deploy", "xenostore://demo/pag", "--on", "a"]);
  t.is(none.code, 1);
  t.regex(none.stderr, /^xeno: a: there is no xenostore:\/\/demo\/pag in .* \[overlay-unknown\]\n {6}did you mean/m);
  const rows = await xeno.json("ps");
  t.like(rows[0], { domain: "a/web", state: "running", address: up.address, overlay });
  t.like(rows[1], { domain: "b/?", state: "unknown" });
});

test.serial("the doctor asks KVM with the kernel of the store, and shares the XenoServers' answer", async (t) => {
  const { code, stdout, stderr } = await xeno.run(["doctor", "--json"]);
  t.is(code, 0, stderr);
  const kvm = JSON.parse(stdout).find(({ name }: { name: string }) => name === "kvm");
  t.false(kvm.required);
  t.regex(kvm.found, /under KVM|with KVM|no \/dev\/kvm|^nothing/);
});

test.serial("the guest is reached by forward, logs and console", async (t) => {
  const forward = await xeno.start(["forward", "a/web", "0:80"]);
  const url = `http://${forward.result.listening}/`;
  await t.notThrowsAsync(waitForPage(url, "page of earl, test: for a", 30_000, AbortSignal.timeout(60_000)));
  const port = forward.result.listening.split(":")[1];
  t.is((await xeno.fail(["forward", "a/web", `${port}:80`])).code, "listen-failed");
  t.is(await forward.end(), 0);
  // The port is published on the XenoServer's own address, which the client's namespace reaches.
  const network = localPrefix(xeno.home);
  const number = JSON.parse(await readFile(join(xeno.home, "servers/a/server.json"), "utf8")).number;
  const target = { host: `10.77.0.${10 + number}`, port: 8080 };
  const published = await forwardPorts(`${network}.client`, [{ listen: { host: "127.0.0.1", port: 0 }, target }]);
  t.teardown(() => published.close());
  const publishedUrl = `http://127.0.0.1:${published.ports[0]}/`;
  await t.notThrowsAsync(waitForPage(publishedUrl, "page of earl", 30_000, AbortSignal.timeout(60_000)));
  const taken = await xeno.run(["deploy", overlay, "--on", "a", "--memory", "128", "--port", "8080:1", "--json"]);
  t.is(JSON.parse(taken.stdout)[0].error.code, "port-taken");
  const { log } = await xeno.json("logs", "a/web");
  t.regex(log, /guest: up/);

  await talk(t, "a/web");
});

/** With the shell on a guest's console. */
async function talk(t: ExecutionContext, domain: string): Promise<void> {
  const console = xeno.spawn(["console", domain]);
  let shown = "";
  console.stdout!.on("data", (text) => {
    shown += text;
  });
  const exited = new Promise((resolve) => console.once("exit", resolve));
  console.stdin!.write("echo sum $((40 + 2))\n");
  await poll("the console's answer", () => shown.includes("sum 42"));
  console.kill("SIGINT");
  t.is(await exited, 0);
}

test.serial("a XenoServer elsewhere is known by its URL and key, and does the same for who is trusted", async (t) => {
  const { port, publicKey } = a.result;
  const adding = ["server", "add", "far", `https://127.0.0.1:${port}`];
  const wrong = await xeno.fail([...adding, `ed25519:${"A".repeat(43)}`, "--key", "demo"]);
  t.is(wrong.code, "server-untrusted");
  t.is((await xeno.fail([...adding, publicKey, "--key", "demo"])).code, "caller-untrusted");
  const [{ publicKey: own }] = (await xeno.json("key", "ls")).filter(({ name }: { name: string }) => name === "demo");
  await xeno.json("key", "trust", "operators", own);
  t.like(await xeno.json(...adding, publicKey, "--key", "demo"), { added: "far" });
  t.like((await xeno.json("server", "ls")).at(-1), { name: "far", status: "up", running: 1 });
  t.like((await xeno.json("ps")).at(-1), { domain: "far/web", state: "running" });
  t.regex((await xeno.json("logs", "far/web")).log, /guest: up/);
  await talk(t, "far/web");
  t.is((await xeno.fail(["forward", "far/web", "0:80"])).code, "not-reachable");
  t.deepEqual(await xeno.json("server", "forget", "far"), { forgotten: "far" });
});

test.serial(
  "a XenoServer that is interrupted leaves its guests running, and stopping it ends everything",
  async (t) => {
    t.is(await a.end("SIGINT"), 0);
    t.regex(a.stderr(), /a\/web will go on/);
    t.like((await xeno.json("server", "ls"))[0], { name: "a", status: "down" });
    a = await xeno.start(["server", "run", "--name", "a"]);
    t.like((await xeno.json("ps"))[0], { domain: "a/web", state: "running" });
    t.deepEqual(await xeno.json("stop", "a/web", "--remove"), { removed: "a/web" });
    const stopped = await xeno.fail(["console", "a/web"]);
    t.is(stopped.code, "domain-unknown");
    // Without guests, its end is the end of all.
    t.is(await a.end("SIGINT"), 0);
    t.deepEqual(await listNamespaces(localPrefix(xeno.home)), []);
    t.deepEqual(await readProcesses(xeno.home), []);
    t.deepEqual(await xeno.json("server", "stop", "b", "--remove"), { removed: "b" });
    t.deepEqual(
      (await xeno.json("server", "ls")).map(({ name }: { name: string }) => name),
      ["a"],
    );
  },
);

/** The command lines that name a directory. */
async function readProcesses(directory: string): Promise<string[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")));
  return lines.filter((line) => line.includes(directory));
}
