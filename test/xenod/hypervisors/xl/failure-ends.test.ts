/**
 * The ends of a move that fails, over played Xen hosts (played-xen.ts) and real processes: whoever dies, whatever is cut, and at whichever
 * step, one copy of the guest runs, with its memory; at no moment two; and nothing of the move is left.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { setTimeout as delay } from "node:timers/promises";
import test, { type ExecutionContext } from "ava";
import { execa } from "execa";
import { XenoError } from "../../../../cowfs/errors.ts";
import type { Domain, DomainSpecification, Hypervisor } from "../../../../xenod/hypervisors/hypervisor.ts";
import { domainFiles, identify } from "../../../../xenod/hypervisors/xl/configuration.ts";
import { createXlHypervisor } from "../../../../xenod/hypervisors/xl/xl.ts";
import { readStartTime } from "../../../../xenod/processes.ts";
import { poll } from "../../test-guest.ts";
import { type PlayedDomain, PlayedXen } from "./played-xen.ts";
import { specifyDomain } from "./specified-domain.ts";
import type { Work } from "./xenod-at-work.ts";

const deadlineMs = 240_000;
const { signal } = new AbortController();
let hosts = 0;

interface Host {
  readonly xen: PlayedXen;
  readonly specification: DomainSpecification;
  readonly options: Pick<Work, "environment" | "recordsDirectory">;
  /** As another Xenod has it. */
  open(): Hypervisor;
}

async function prepare(t: ExecutionContext): Promise<Host> {
  const { scratch, specification } = await specifyDomain(t);
  // No xl on this machine has anything to do with a domain of its number.
  const xen = new PlayedXen(process.pid * 1_000 + 10 * hosts++);
  const { environment, stop } = await xen.serve(scratch);
  t.teardown(stop);
  const options = { environment, recordsDirectory: join(scratch, "records") };
  return { xen, specification, options, open: () => createXlHypervisor({ ...options, run: xen.run }) };
}

/** Two hosts, of which the first runs the guest. */
async function prepareMove(t: ExecutionContext) {
  t.timeout(deadlineMs);
  const [source, target] = [await prepare(t), await prepare(t)];
  const domain = await source.open().create(source.specification, signal);
  t.teardown(() => domain.detach());
  source.xen.domains[0]!.memory = "kept";
  await domain.unpause();
  // At no moment two; where the source's guest was never stopped, nothing changes.
  const running = { most: 0 };
  const count = () => {
    const all = [...source.xen.domains, ...target.xen.domains];
    running.most = Math.max(running.most, all.filter(isRunning).length);
  };
  for (const { xen } of [source, target]) xen.onChange = count;
  count();
  return { source, target, domain, running };
}

function isRunning({ isPaused, shutdown }: PlayedDomain): boolean {
  return !isPaused && shutdown === undefined;
}

/** The guest runs on its host, and nothing is left there of what was to move it. */
async function expectRuns(t: ExecutionContext, { xen, specification }: Host, domain: Domain): Promise<void> {
  await poll("every xl to end", async () => xen.busy === 0, deadlineMs);
  t.deepEqual(xen.domains.map(isRunning), [true]);
  t.is(await domain.state(), "running");
  t.is(xen.domains[0]!.memory, "kept");
  await domain.destroy();
  t.deepEqual(xen.domains, []);
  t.deepEqual(await readdir(specification.directory), ["console.log"]);
}

/** What waits for the peer's word. */
async function readHolder({ specification }: Host): Promise<number> {
  return Number.parseInt(await readFile(domainFiles(specification.directory).holder, "latin1"), 10);
}

async function expectGone(pid: number): Promise<void> {
  await poll("what waited for the peer to end", async () => (await readStartTime(pid)) === undefined, deadlineMs);
}

/** (V1) in send-domain.ts, of a Xenod that has seen the failure, or found the domain after it. */
async function goOn(domain: Domain): Promise<void> {
  if ((await domain.state()) === "paused") await domain.unpause();
}

/** As send-domain.ts does it, to a target that never says that it has it. */
async function send(domain: Domain, to: Socket, off = signal): Promise<void> {
  const memory = await domain.migrate(to, off);
  try {
    await memory.stopped();
    await memory.finish();
    throw new Error("no answer");
  } catch (error) {
    await memory.cancel();
    throw error;
  }
}

const early = { code: "save-failed", message: /xl was killed/ };

for (const phase of ["begun", "asked", "stopped", "sent"] as const) {
  for (const [event, expected] of [
    ["its xl is killed", phase === "sent" ? { message: "no answer" } : early],
    ["its link is cut", undefined],
    ["it is called off", phase === "sent" ? undefined : { message: "called off" }],
  ] as const)
    test.serial(`a move of which ${event} when it has ${phase}: the guest goes on where it was`, async (t) => {
      const { source, domain, running } = await prepareMove(t);
      const { from, to } = await connectPair(t);
      to.resume();
      const off = new AbortController();
      let holder = 0;
      source.xen.onPhase = async (reached, pid) => {
        if (reached !== `migrate ${phase}`) return;
        holder = await readHolder(source);
        if (event === "its xl is killed") process.kill(pid, "SIGKILL");
        if (event === "its link is cut") to.resetAndDestroy();
        if (event === "it is called off") off.abort(new Error("called off"));
        // A guest that was asked to stop does it after that.
        await delay(100);
      };
      await t.throwsAsync(send(domain, from, off.signal), expected);
      await goOn(domain);
      await expectGone(holder);
      await expectRuns(t, source, domain);
      t.is(running.most, 1);
    });

  for (const event of ["Xenod is killed", "Xenod and xl are killed"]) {
    // Where both are gone before the guest has stopped, nobody is left who would know that it was asked to.
    if (event !== "Xenod is killed" && phase !== "stopped" && phase !== "sent") continue;
    test.serial(`a move of which ${event} when it has ${phase}: the next Xenod has the guest go on`, async (t) => {
      const { source, domain, running } = await prepareMove(t);
      domain.detach();
      const way = await openWay(t);
      void way.connected.then((to) => to.resume());
      const died = Promise.withResolvers<number>();
      source.xen.onPhase = async (reached, pid) => {
        if (reached !== `migrate ${phase}`) return;
        const holder = await readHolder(source);
        await kill(xenod);
        if (event !== "Xenod is killed") process.kill(pid, "SIGKILL");
        died.resolve(holder);
        await delay(100);
      };
      const xenod = startXenod(t, source, "sends", way.port);
      const holder = await died.promise;
      const found = (await source.open().find("web", source.specification.directory))!;
      t.teardown(() => found.detach());
      await goOn(found);
      await expectRuns(t, source, found);
      await expectGone(holder);
      t.is(running.most, 1);
    });
  }
}

for (const verb of ["migrate", "save"])
  test.serial(`xl ${verb} finds a guest that does not stop: it is told so, and the guest goes on`, async (t) => {
    const { source, domain, running } = await prepareMove(t);
    source.xen.domains[0]!.isDeaf = true;
    const { from, to } = await connectPair(t);
    to.resume();
    await t.throwsAsync(verb === "save" ? domain.quiesce!(signal) : send(domain, from), { code: "guest-silent" });
    await goOn(domain);
    await expectRuns(t, source, domain);
    t.is(running.most, 1);
  });

for (const phase of ["begun", "asked", "stopped"])
  test.serial(`a suspend whose xl is killed when it has ${phase}: the guest goes on`, async (t) => {
    const { source, domain } = await prepareMove(t);
    source.xen.onPhase = async (reached, pid) => {
      if (reached !== `save ${phase}`) return;
      source.xen.onPhase = undefined;
      process.kill(pid, "SIGKILL");
      await delay(100);
    };
    const suspend = async () => {
      await domain.quiesce!(signal);
      await domain.save(new PassThrough().resume(), signal);
    };
    await t.throwsAsync(suspend(), early);
    await goOn(domain);
    await expectRuns(t, source, domain);
  });

test.serial("a suspend whose Xenod is killed with the guest stopped: the guest goes on", async (t) => {
  const { source, domain } = await prepareMove(t);
  domain.detach();
  const xenod = startXenod(t, source, "quiesces", (await openWay(t)).port);
  await once(xenod, "message");
  await kill(xenod);
  const found = (await source.open().find("web", source.specification.directory))!;
  t.teardown(() => found.detach());
  await goOn(found);
  await expectRuns(t, source, found);
});

test.serial("a guest's root is not to be cut off before it has stopped itself: only then it is quiet", async (t) => {
  const { source, domain } = await prepareMove(t);
  const asked = Promise.withResolvers<void>();
  const isReady = Promise.withResolvers<void>();
  source.xen.onPhase = async (reached) => {
    if (reached !== "save asked") return;
    asked.resolve();
    await isReady.promise;
  };
  let isQuiet = false;
  const quieting = domain.quiesce!(signal).then(() => {
    isQuiet = true;
  });
  await asked.promise;
  // It waits for a file, which who holds its link would not give it.
  const { lists } = source.xen;
  await poll("the driver to look again", async () => source.xen.lists > lists + 2, deadlineMs);
  t.false(isQuiet);
  t.is(await domain.state(), "running");
  isReady.resolve();
  await quieting;
  t.is(await domain.state(), "paused");
  await domain.unpause();
  await expectRuns(t, source, domain);
});

for (const phase of ["begun", "built", "filled"] as const) {
  for (const [event, code] of [
    ["its xl is killed", "xl-failed"],
    ["its link is cut", undefined],
    ["it is called off", undefined],
  ] as const)
    test.serial(`a reception of which ${event} when it has ${phase}: nothing is left, the guest stays`, async (t) => {
      const { source, target, domain, running } = await prepareMove(t);
      const { from, to } = await connectPair(t);
      const off = new AbortController();
      const goesOn = holdSource(source, phase);
      target.xen.onPhase = async (reached, pid) => {
        if (reached !== `restore ${phase}`) return;
        if (event === "its xl is killed") process.kill(pid, "SIGKILL");
        if (event === "its link is cut") from.resetAndDestroy();
        if (event === "it is called off") off.abort(new Error("called off"));
        await delay(50);
        goesOn();
      };
      const platform = await domain.platform();
      const receiving = target.open().receive(target.specification, async () => to, platform, off.signal);
      receiving.catch(() => {});
      await t.throwsAsync(send(domain, from));
      // All of it may have come before its link was cut.
      const arrived = await receiving.catch((error) => {
        if (code !== undefined) t.is(error.code, code);
      });
      await arrived?.destroy();
      if (arrived) t.deepEqual([event, phase], ["its link is cut", "filled"]);
      await expectNothing(t, target);
      await goOn(domain);
      await expectRuns(t, source, domain);
      t.is(running.most, 1);
    });

  test.serial(`a reception of which Xenod is killed when it has ${phase}: the next one removes it`, async (t) => {
    const { source, target, domain, running } = await prepareMove(t);
    const way = await openWay(t);
    const died = Promise.withResolvers<void>();
    const goesOn = holdSource(source, phase);
    target.xen.onPhase = async (reached) => {
      if (reached !== `restore ${phase}`) return;
      await kill(xenod);
      died.resolve();
      await delay(50);
      goesOn();
    };
    const xenod = startXenod(t, target, "receives", way.port, await domain.platform());
    await t.throwsAsync(send(domain, await way.connected));
    await died.promise;
    await expectNothing(t, target);
    await goOn(domain);
    await expectRuns(t, source, domain);
    t.is(running.most, 1);
  });
}

test.serial(
  "a restore whose image cannot be read on, or goes on after its end, is told as that, and nothing is left",
  async (t) => {
    const { source, target, domain } = await prepareMove(t);
    await domain.pause();
    const image = new PassThrough();
    const [kept] = await Promise.all([buffer(image), domain.save(image, signal)]);
    const platform = await domain.platform();
    const lose = async function* () {
      yield kept.subarray(0, kept.length / 2);
      throw new XenoError("object-missing", "the rest of the image is gone from its store");
    };
    const lengthen = () => [kept, Buffer.alloc(8)];
    for (const [code, chunks] of [
      ["object-missing", lose],
      ["image-damaged", lengthen],
    ] as const) {
      const restoring = target.open().restore(target.specification, Readable.from(chunks()), platform, signal);
      await t.throwsAsync(restoring, { code });
      await expectNothing(t, target);
    }
    await domain.unpause();
    await expectRuns(t, source, domain);
  },
);

/** The rest of the memory is not sent before what is returned is called, unless all of it is to come. */
function holdSource({ xen }: Host, phase: string): () => void {
  const { promise, resolve } = Promise.withResolvers<void>();
  xen.onPhase = async (reached) => {
    if (reached === "migrate stopped" && phase !== "filled") await promise;
  };
  return resolve;
}

/** For Xen, or for the next Xenod: once no xl is at work, since what a killed one had asked for may still come. */
async function expectNothing(t: ExecutionContext, { xen, open, specification }: Host): Promise<void> {
  await poll("every xl to end", async () => xen.busy === 0, deadlineMs);
  t.is(await open().find("web", specification.directory), undefined);
  t.deepEqual(xen.domains, []);
}

for (const event of ["nothing happens", "its xl is killed", "Xenod is killed"] as const)
  test.serial(`after the final go, ${event} at the source: the guest runs at the target alone`, async (t) => {
    const { source, target, domain, running } = await prepareMove(t);
    domain.detach();
    const way = await openWay(t);
    let mover = 0;
    source.xen.onPhase = async (reached, pid) => {
      if (reached === "migrate sent") mover = pid;
    };
    const xenod = startXenod(t, source, "sends", way.port);
    const sent = once(xenod, "message");
    const to = await way.connected;
    const platform = await domain.platform();
    const arrived = await target.open().receive(target.specification, async () => to, platform, signal);
    t.teardown(() => arrived.detach());
    await sent;
    await poll("xl to wait", async () => mover > 0, deadlineMs);
    const holder = await readHolder(source);
    // Until here nobody runs it; from here on who has received it does.
    t.is(source.xen.domains.concat(target.xen.domains).filter(isRunning).length, 0);
    await arrived.unpause();
    if (event === "its xl is killed") process.kill(mover, "SIGKILL");
    await kill(xenod);
    const found = (await source.open().find("web", source.specification.directory))!;
    t.is(await found.state(), "paused");
    await found.destroy();
    await expectGone(holder);
    await poll("xl to end", async () => source.xen.busy === 0, deadlineMs);
    t.deepEqual(source.xen.domains, []);
    await expectRuns(t, target, arrived);
    t.is(running.most, 1);
  });

test.serial("a guest that somebody else's xl gave away does not run here until that is taken back", async (t) => {
  const { source, domain } = await prepareMove(t);
  const [played] = source.xen.domains as [PlayedDomain];
  const { name } = played;
  Object.assign(played, { name: `${name}--migratedaway`, shutdown: "suspend" });
  t.is(await domain.state(), "paused");
  const hint = await t.throwsAsync(domain.unpause(), { code: "domain-suspended", message: /gave it away/ });
  t.regex((hint as { hint?: string }).hint ?? "", new RegExp(`xl rename ${played.id} ${name}$`));
  t.false(isRunning(played));
  const gone = { ...played };
  played.name = name;
  await domain.unpause();
  await expectRuns(t, source, domain);
  // As such it can be ended, too.
  const other = await source.open().create(source.specification, signal);
  Object.assign(source.xen.domains[0]!, { name: gone.name, shutdown: "suspend" });
  await other.destroy();
  t.deepEqual(source.xen.domains, []);
});

test.serial("what somebody else's xl was about to receive in its place is removed", async (t) => {
  const { target } = await prepareMove(t);
  const { name, uuid } = identify("web", target.specification.directory);
  target.xen.domains = [{ id: 7, name: `${name}--incoming`, uuid, isPaused: true }];
  await expectNothing(t, target);
});

test.serial("a guest that somebody else's xl is saving is not run on beside it", async (t) => {
  const { source, domain, running } = await prepareMove(t);
  const stopped = Promise.withResolvers<void>();
  const goesOn = Promise.withResolvers<void>();
  source.xen.onPhase = async (reached) => {
    if (reached !== "save stopped") return;
    stopped.resolve();
    await goesOn.promise;
  };
  const [{ id }] = source.xen.domains as [PlayedDomain];
  const saving = execa("xl", ["save", String(id), "/dev/null"], { env: source.options.environment, reject: false });
  await stopped.promise;
  running.most = 0;
  const unpausing = domain.unpause();
  const { lists } = source.xen;
  await poll("the driver to look", async () => source.xen.lists > lists, deadlineMs);
  t.is(source.xen.busy, 1, "one xl is at work on it");
  goesOn.resolve();
  await saving;
  await unpausing;
  // Saved, it was ended.
  t.is(await domain.ended(), "crashed");
  t.is(running.most, 0);
});

/** The driver, in a process. */
function startXenod(
  t: ExecutionContext,
  { options, specification }: Host,
  does: Work["does"],
  port: number,
  platform = "",
): ChildProcess {
  const work: Work = { ...options, specification, does, port };
  const program = new URL("xenod-at-work.ts", import.meta.url).pathname;
  const child = fork(program, [JSON.stringify(work), platform], { execArgv: ["--no-warnings"] });
  t.teardown(() => kill(child));
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGKILL");
  await once(child, "exit");
}

/** A port on 127.0.0.1, and who connects to it. */
async function openWay(t: ExecutionContext): Promise<{ readonly port: number; readonly connected: Promise<Socket> }> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.teardown(() => server.close());
  const connected = once(server, "connection").then(([socket]) => {
    t.teardown(() => socket.destroy());
    return socket.on("error", () => {});
  });
  return { port: (server.address() as { port: number }).port, connected };
}

async function connectPair(t: ExecutionContext): Promise<{ from: Socket; to: Socket }> {
  const { port, connected } = await openWay(t);
  const from = connect(port, "127.0.0.1").on("error", () => {});
  t.teardown(() => from.destroy());
  return { from, to: await connected };
}
