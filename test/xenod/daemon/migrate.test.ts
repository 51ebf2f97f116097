/**
 * Migration between two XenoServers with everything real but the guests, which the simulator plays. After each fault at most
 * one of them runs the domain, and exactly one as soon as both can talk. In order: each test goes on from the last.
 */
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { readdir, readFile, rm, stat, statfs } from "node:fs/promises";
import https from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { execa } from "execa";
import { performMoves } from "../../../control/balance/perform-moves.ts";
import { planDrain } from "../../../control/balance/plan-moves.ts";
import { surveyServer } from "../../../control/balance/survey.ts";
import { XenoError } from "../../../cowfs/errors.ts";
import { FileServerClient } from "../../../xenod/file-server/client.ts";
import type { Endpoint } from "../../../xenod/http/endpoint.ts";
import { JsonClient } from "../../../xenod/http/json-client.ts";
import { openSimulatedConsole } from "../../../xenod/hypervisors/simulator/simulated-guest.ts";
import { readMachine } from "../../../xenod/hypervisors/simulator/simulated-machine.ts";
import { killSimulated } from "../../../xenod/hypervisors/simulator/simulator.ts";
import { loadServerIdentity, serverKeys } from "../../../xenod/identity/tls-identity.ts";
import { listNamespaces } from "../../../xenod/links/namespaces.ts";
import type { PublicKeyText } from "../../../xenostore/keys/key-ring.ts";
import { type RunningServer, startXenoServers } from "../../end-to-end/xeno-server.ts";
import { runTeardowns } from "../../run-teardowns.ts";
import { publishFiles } from "../published.ts";
import { GuestShell, poll } from "../test-guest.ts";
import { type CuttableLink, openCuttableLink } from "./cuttable-link.ts";

type Name = "a" | "b";

let servers: Record<Name, RunningServer>;
/** The ways to them. */
let links: Record<Name, CuttableLink>;
/** Where the domain is. */
let here: Name = "a";
const teardowns: (() => unknown)[] = [];
const diskBytes = 256 * 1024 * 1024;

test.before(async (t) => {
  const context = { teardown: (act: () => unknown) => void teardowns.push(act), log: t.log };
  const options = { simulates: true, areFriends: true, diskBytes, migrationPatienceMs: 5_000 };
  const [a, b] = (await startXenoServers(context, ["a", "b"], options)) as [RunningServer, RunningServer];
  servers = { a, b };
  links = { a: await openLink(a), b: await openLink(b) };
  const configuration = JSON.stringify({ format: 1, kernel: "vmlinux", initramfs: "initramfs", commandLine: "quiet" });
  const files = { "config.json": configuration, vmlinux: "no kernel", initramfs: "no initramfs" };
  const kernel = await publishFiles(a.published, "kernel", files);
  const overlay = await publishFiles(a.published, "web", { "sbin/init": "never run" });
  const laid = [{ path: "/etc/motd", content: "laid over its root\n" }];
  const asked = { memoryMiB: 64, cpus: 1, journalMiB: 64, network: { peakKbitPerSecond: 5_000 }, unsafeAsync: true };
  await a.client.deploy({ id: randomUUID(), name: "web", overlay, kernel, ...asked, files: laid });
  await poll("web to run", async () => (await a.client.domain("web")).state === "running");
});

test.after.always(() => runTeardowns(teardowns));

test.serial("a domain moves with its memory, and nothing of it stays behind", async (t) => {
  await remember(t, "first");
  t.like(await end(await migrate()), { state: "done", result: { domain: "web", to: "b" } });
  await expectMoved(t, "first");
  const { export: exported } = await servers.b.client.domain("web");
  t.like(exported?.specification, { quotaBytes: 64 * 1024 * 1024, unsafeAsync: true });
  const link = `${servers.b.prefix}.b.web`;
  t.regex((await execa("tc", ["-n", link, "qdisc", "show", "dev", "up0"])).stdout, /tbf .*rate 5Mbit/);
});

test.serial("what speaks against a move is told before anything is done", async (t) => {
  const { client, peer } = servers[here];
  await t.throwsAsync(client.migrate("web", { to: peer }), { code: "migration-invalid" });
  await t.throwsAsync(client.migrate("none", { to: servers[other()].peer }), { code: "domain-unknown" });
  await t.throwsAsync(client.resolveMigration("web", "run"), { code: "migration-not-in-doubt" });
  const impostor = { ...servers[other()].peer, publicKey: peer.publicKey.replace(/.{4}$/, "AAAA") };
  t.like(await end(await client.migrate("web", { to: impostor })), { error: { code: "server-untrusted" } });
  await expectHere(t, "first");
});

for (const [side, step, outcome] of [
  ["source", "migrate offered", "stays"],
  ["source", "migrate sent", "stays"],
  ["source", "migrate moved", "moves"],
  ["source", "migrate gone", "moves"],
  ["target", "receive accepted", "stays"],
  ["target", "receive whole", "stays"],
  ["target", "receive prepared", "either"],
  ["target", "receive owned", "moves"],
] as const)
  test.serial(`Xenod is killed at the ${side}, after its step "${step}": the domain ${outcome}`, async (t) => {
    await remember(t, step.replace(" ", "-"));
    const killed = servers[side === "source" ? here : other()];
    await killed.dieAt(step);
    const task = await migrate();
    await killed.died();
    await killed.launch();
    await end(task);
    if (outcome === "moves") await expectMoved(t, step.replace(" ", "-"));
    else if (outcome === "stays") await expectHere(t, step.replace(" ", "-"));
    else await expectEither(t, step.replace(" ", "-"));
  });

for (const [step, outcome] of [
  ["migrate journal copied", "stays"],
  ["migrate memory begun", "stays"],
  ["migrate sent", "stays"],
  ["migrate moved", "moves"],
] as const)
  test.serial(
    `the connection is lost after the step "${step}", for longer than anyone waits: the domain ${outcome}`,
    async (t) => {
      await remember(t, step.replaceAll(" ", "-"));
      const { reached, goOn } = await servers[here].holdAt(step);
      const task = await migrate();
      await reached;
      links[other()].cut();
      await goOn();
      const { error } = await end(task);
      t.is(error?.code, outcome === "moves" ? "migration-in-doubt" : "server-unreachable");
      if (outcome === "moves") {
        t.like(await servers[here].client.domain("web"), { state: "moved", intent: "running" });
        await t.throwsAsync(servers[here].client.stop("web"), { code: "domain-in-doubt" });
        await t.throwsAsync(servers[here].client.start("web"), { code: "domain-busy" });
        t.is(await countRunning(), 0);
      } else t.is((await servers[here].client.domain("web")).state, "running");
      links[other()].mend();
      if (outcome === "moves") await expectMoved(t, step.replaceAll(" ", "-"));
      else await expectHere(t, step.replaceAll(" ", "-"));
    },
  );

for (const [side, step] of [
  ["source", "migrate memory begun"],
  ["target", "migrate journal copied"],
] as const)
  test.serial(`the ${side}'s disk is full from the step "${step}" on: the domain stays`, async (t) => {
    await remember(t, `full-${side}`);
    const { stateDirectory } = servers[side === "source" ? here : other()];
    const { reached, goOn } = await servers[here].holdAt(step);
    const task = await migrate();
    await reached;
    const filler = join(stateDirectory, "filler");
    const { bavail, bsize } = await statfs(stateDirectory);
    await execa("fallocate", ["-l", String(bavail * bsize), filler]);
    await goOn();
    const { error } = await end(task);
    t.truthy(error, "it did not move");
    t.is(await countRunning(), 1);
    await rm(filler);
    await expectHere(t, `full-${side}`);
  });

test.serial("what was received dies before it is handed over: the domain goes on where it was", async (t) => {
  await remember(t, "lost");
  const { reached, goOn } = await servers[here].holdAt("migrate moved");
  const task = await migrate();
  await reached;
  await killSimulated(directory(other()));
  await goOn();
  t.is((await end(task)).error?.code, "migration-refused");
  await expectHere(t, "lost");
});

test.serial(
  "the file servers of both sides are killed while the guest stands still: it moves, or goes on",
  async (t) => {
    await remember(t, "workers");
    const { reached, goOn } = await servers[here].holdAt("migrate stopped");
    const task = await migrate();
    await reached;
    for (const { stateDirectory } of Object.values(servers)) {
      const fileServer = new FileServerClient(stateDirectory);
      process.kill((await fileServer.status()).worker, "SIGKILL");
      await fileServer.close();
    }
    await goOn();
    // They may be away for longer than anyone waits.
    const { state } = await end(task);
    if (state === "done") await expectMoved(t, "workers");
    else await expectHere(t, "workers");
  },
);

test.serial("a move is called off by a cancel: the guest goes on", async (t) => {
  await remember(t, "cancelled");
  const { reached, goOn } = await servers[here].holdAt("migrate cut");
  const task = await migrate();
  await reached;
  await servers[here].client.cancelTask(task.task);
  await goOn();
  t.is((await end(task)).error?.code, "task-cancelled");
  await expectHere(t, "cancelled");
});

for (const what of ["run", "drop"] as const)
  test.serial(`in doubt for good, an operator says "${what}"`, async (t) => {
    await remember(t, what);
    const [source, target] = [servers[here], servers[other()]];
    if (what === "drop") await target.dieAt("receive owned");
    const { reached, goOn } = await source.holdAt("migrate moved");
    const task = await migrate();
    await reached;
    if (what === "run") await target.kill();
    await goOn();
    t.is((await end(task)).error?.code, "migration-in-doubt");
    await source.client.resolveMigration("web", what);
    t.is(await countRunning(), what === "run" ? 1 : 0);
    await target.launch();
    if (what === "run") await expectHere(t, what);
    else await expectMoved(t, what);
  });

test.serial(
  "a domain moves with its checkpoints: those of before can be resumed and removed where it is",
  async (t) => {
    for (const word of ["one", "two"]) {
      await remember(t, word);
      await takeCheckpoint();
    }
    await remember(t, "three");
    t.is((await end(await migrate())).state, "done");
    await expectMoved(t, "three");
    t.deepEqual(await listCheckpoints(), [1, 2]);
    // What they share they share here too.
    const segments = join(directory(), "journal-3", "segments");
    const [first] = (await readdir(segments)).sort();
    t.true((await stat(join(segments, first!))).nlink > 1);
    t.is(await takeCheckpoint(), 3, "their numbers go on");
    const published = await end(await servers[here].client.publishCheckpoint("web", 1));
    t.regex((published.result as { url: string }).url, new RegExp(`^xenostore://xenoserver\\+${here}/web@1-`));
    await resume(1);
    t.is(await recall(t), "one");
    t.is((await end(await migrate())).state, "done");
    await expectMoved(t, "one");
    t.deepEqual(await listCheckpoints(), [1, 2, 3]);
    for (const [number, word] of [
      [3, "three"],
      [2, "two"],
    ] as const) {
      await resume(number);
      t.is(await recall(t), word);
      await servers[here].client.removeCheckpoint("web", number);
    }
    t.deepEqual(await listCheckpoints(), [1]);
    t.false((await readdir(directory())).includes("journal-4"), "what only a removed one needed is gone");
  },
);

test.serial("a target is killed among the checkpoints that come: the domain stays, with all of them", async (t) => {
  await remember(t, "history");
  const target = servers[other()];
  await target.dieAt("receive checkpoint");
  const task = await migrate();
  await target.died();
  await target.launch();
  t.truthy((await end(task)).error);
  await expectHere(t, "history");
  t.deepEqual(await listCheckpoints(), [1]);
});

test.serial("checkpoints that are not wanted any more are dropped by the move", async (t) => {
  await remember(t, "dropped");
  t.is((await end(await migrate({ dropCheckpoints: true }))).state, "done");
  await expectMoved(t, "dropped");
  t.deepEqual(await listCheckpoints(), []);
});

test.serial(
  "an offer of a format that a XenoServer does not know is refused with both formats, and what to do",
  async (t) => {
    const newer = new JsonClient({ endpoint: await endpointOf(other()), server: other(), hint: "" });
    t.teardown(() => newer.close());
    const body = { format: 99, domain: "web", of: "a form that nobody knows yet" };
    const error = await t.throwsAsync(newer.request({ method: "POST", path: `/v1/peers/${here}/receptions`, body }), {
      instanceOf: XenoError,
      code: "offer-unknown",
      message: /up to format 2, and .* is of format 99/,
    });
    t.regex(error?.hint ?? "", /upgrade/);
  },
);

for (const code of ["offer-unknown", "request-invalid"])
  test.serial(`an older XenoServer that refuses an offer (${code}): it says so, and the guest goes on`, async (t) => {
    await remember(t, "older");
    await takeCheckpoint();
    const older = https.createServer(
      {
        ...(await loadServerIdentity(serverKeys(servers[other()].stateDirectory))),
        requestCert: true,
        rejectUnauthorized: false,
      },
      (request, response) => {
        request.resume();
        response.writeHead(422, { "content-type": "application/json" });
        response.end(JSON.stringify({ code, message: "body/format must be equal to constant" }));
      },
    );
    older.listen(0, "127.0.0.1");
    await once(older, "listening");
    t.teardown(() => {
      older.close();
      older.closeAllConnections();
    });
    const url = `https://127.0.0.1:${(older.address() as AddressInfo).port}`;
    const { client } = servers[here];
    const { task } = await client.migrate("web", { to: { ...servers[other()].peer, url } });
    const { error } = await end({ task });
    t.like(error, { code: "offer-unknown" });
    t.regex(error?.message ?? "", /format 2.* older/);
    t.regex(error?.hint ?? "", /upgrade/);
    await expectHere(t, "older");
    for (const number of await listCheckpoints()) await client.removeCheckpoint("web", number);
  });

test.serial("a XenoServer that is drained takes no domains, and its own move away", async (t) => {
  await remember(t, "drained");
  const from = here;
  const survey = (name: Name) => surveyServer(name, servers[name].client, AbortSignal.timeout(60_000));
  await servers[from].client.setDraining(true);
  await t.throwsAsync(
    servers[from].client.deploy({ id: "drained-1", overlay: "x://y", kernel: "x://y", memoryMiB: 64, cpus: 1 }),
    { code: "server-draining" },
  );
  const { moves, stuck } = planDrain(await survey(from), [await survey(other())]);
  t.deepEqual(stuck, []);
  const performed = await performMoves(moves, {
    connect: async (name) => servers[name as Name].client,
    describePeer: async (name) => servers[name as Name].peer,
    onProgress() {},
    signal: AbortSignal.timeout(120_000),
  });
  t.deepEqual(performed, [{ domain: "web", from, to: other(), memoryMiB: 160 }]);
  await expectMoved(t, "drained");
  // It is remembered, and what would come back is refused.
  await servers[from].kill();
  await servers[from].launch();
  t.true((await servers[from].client.status()).isDraining);
  t.is((await end(await migrate())).error?.code, "server-draining");
  await servers[from].client.setDraining(false);
  await expectHere(t, "drained");
});

async function openLink({ peer }: RunningServer): Promise<CuttableLink> {
  const { hostname, port } = new URL(peer.url);
  const link = await openCuttableLink({ host: hostname, port: Number(port) });
  teardowns.push(() => link.close());
  return link;
}

async function migrate(more: { dropCheckpoints?: boolean } = {}): Promise<{ task: string; by: Name }> {
  const to = { ...servers[other()].peer, url: `https://127.0.0.1:${links[other()].port}` };
  return { ...(await servers[here].client.migrate("web", { to, ...more })), by: here };
}

/** The domain goes on. Returns its number. */
async function takeCheckpoint(): Promise<number | undefined> {
  const { client } = servers[here];
  await client.waitForTask((await client.suspend("web", { goesOn: true })).task);
  return (await listCheckpoints()).at(-1);
}

async function resume(checkpoint: number): Promise<void> {
  const { client } = servers[here];
  await client.stop("web");
  await client.waitForTask((await client.resume("web", { checkpoint })).task);
}

async function listCheckpoints(): Promise<number[]> {
  return (await servers[here].client.checkpoints("web")).map(({ number }) => number);
}

/** As the other one is known to it. */
async function endpointOf(name: Name): Promise<Endpoint> {
  const { url, publicKey } = servers[name].peer;
  const from = name === "a" ? "b" : "a";
  const identity = await loadServerIdentity(serverKeys(servers[from].stateDirectory));
  return { url, serverKey: publicKey as PublicKeyText, identity };
}

/** Of a task, whatever its end. */
async function end({ task, by = here }: { task: string; by?: Name }) {
  const { client } = servers[by];
  await client.waitForTask(task).catch(() => {});
  return await client.getTask(task);
}

function other(): Name {
  return here === "a" ? "b" : "a";
}

async function expectMoved(t: ExecutionContext, word: string): Promise<void> {
  const from = here;
  here = other();
  await expectHere(t, word);
  t.deepEqual(await readdir(join(servers[from].stateDirectory, "domains")), []);
}

/** It runs here, with its memory, and nothing of it is at the other one. */
async function expectHere(t: ExecutionContext, word: string): Promise<void> {
  const { client, prefix } = servers[here];
  await poll("both to have settled", isSettled);
  t.is(await countRunning(), 1);
  t.like(await client.domain("web"), { state: "running", intent: "running", operation: undefined, reason: undefined });
  await poll("its export to serve", async () => (await client.domain("web")).export?.state === "serving");
  t.is(await recall(t), word);
  t.deepEqual(await servers[other()].client.domains(), []);
  t.deepEqual(await readdir(join(servers[other()].stateDirectory, "domains")), []);
  t.deepEqual(
    (await readdir(directory())).filter((name) => name.startsWith("outgoing")),
    [],
  );
  t.false((await listNamespaces(prefix)).includes(`${prefix}.${other()}.web`));
}

async function expectEither(t: ExecutionContext, word: string): Promise<void> {
  await poll("both to have settled", isSettled);
  const isThere = (await servers[other()].client.domains()).length === 1;
  if (isThere) await expectMoved(t, word);
  else await expectHere(t, word);
}

/** Nobody has anything to say any more, and one of them has the domain. */
async function isSettled(): Promise<boolean> {
  if ((await countRunning()) > 1) throw new Error("it runs twice");
  const domains = (await Promise.all(Object.values(servers).map(({ client }) => client.domains()))).flat();
  if (domains.length !== 1 || domains[0]!.state !== "running") return false;
  for (const { stateDirectory } of Object.values(servers)) {
    const folder = join(stateDirectory, "migrations");
    for (const name of await readdir(folder)) {
      const { saved } = JSON.parse(await readFile(join(folder, name), "utf8").catch(() => '{"saved":{}}'));
      if (saved.isTold !== true) return false;
    }
  }
  return true;
}

async function countRunning(): Promise<number> {
  const machines = await Promise.all((["a", "b"] as const).map((name) => readMachine(directory(name))));
  return machines.filter((machine) => machine?.state === "running").length;
}

function directory(name: Name = here): string {
  return join(servers[name].stateDirectory, "domains", "web");
}

async function remember(t: ExecutionContext, word: string): Promise<void> {
  const shell = new GuestShell(t, directory(), openSimulatedConsole(directory()));
  await shell.run(`word=${word}`);
  shell.close();
}

async function recall(t: ExecutionContext): Promise<string> {
  const shell = new GuestShell(t, directory(), openSimulatedConsole(directory()));
  const { output } = await shell.run("echo $word");
  shell.close();
  return output.trim();
}
