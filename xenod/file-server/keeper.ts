/**
 * Program: the parent of a file server's workers, kept so small that it never needs to be ended or upgraded.
 *
 * - (K1) It owns every listening socket, the control sockets too, and accepts on none. While a worker does not run, whoever connects
 *   to it waits in the backlog and is not refused.
 * - (K2) A worker that ends, however it ends, is started again, and the others are left alone: at once, or after a growing pause while it
 *   dies at its start. The first runs always, each other one from when the first asks for it.
 * - (K3) A worker ends when its keeper does: sockets have one owner, and journals one opener.
 * - (K4) It depends on nothing of Xenod, which may be killed, upgraded and started again.
 */
import { type ChildProcess, fork } from "node:child_process";
import { existsSync, readFileSync, rmSync } from "node:fs";
import net from "node:net";
import { takeLock } from "../../cowfs/journals/lock.ts";
import { openListener, type RawListener } from "../links/listener.ts";
import { bindRaw } from "../links/raw-socket.ts";
import { countWorkers } from "./count-workers.ts";
import { fileServerFiles } from "./files.ts";
import type { KeeperAnswer, KeeperQuestion } from "./keeper-channel.ts";
import type { ListenAddress } from "./protocol.ts";

const healthyMs = 5_000;
const maxPauseMs = 5_000;
const endDeadlineMs = 10_000;
const bindDeadlineMs = 20_000;

interface HeldSocket {
  /** Who asked for it last. */
  worker: number;
  readonly address: string;
  readonly bound: Promise<{ handle: RawListener; port: number }>;
}

const stateDirectory = process.argv[2];
const files = fileServerFiles(stateDirectory);
process.umask(0o077);
takeLock(files.lock, `the file server of ${stateDirectory}`);
const workerCount = countWorkers(JSON.parse(readFileSync(files.configuration, "utf8")));
const held = new Map<string, HeldSocket>();
const controls = new Map<number, RawListener>();
const running = new Map<number, ChildProcess>();
/** Started and not ended by us: those that wait for their next start, too. */
const wanted = new Set<number>();
let isEnding = false;

startWorker(0);
process.on("SIGTERM", end);
process.on("SIGINT", end);

function startWorker(worker: number, pauseBeforeMs = 0): void {
  if (isEnding) return;
  wanted.add(worker);
  if (!controls.has(worker)) controls.set(worker, bindControl(worker));
  const started = performance.now();
  const words = [stateDirectory, String(worker), String(workerCount)];
  const child = fork(new URL("worker.ts", import.meta.url), words, { execArgv: ["--no-warnings"] });
  running.set(worker, child);
  child.on("message", (question: KeeperQuestion) => void answer(child, worker, question));
  child.on("error", (error) => console.error("keeper:", error.message));
  child.on("exit", (code, signal) => {
    running.delete(worker);
    // Without its directory a XenoServer is gone, and nobody could end this any more.
    if (!existsSync(files.configuration)) leave();
    if (isEnding) return leaveOnceAllEnded();
    const pauseMs = performance.now() - started > healthyMs ? 0 : Math.min(maxPauseMs, pauseBeforeMs * 2 || 50);
    console.error(`keeper: worker ${worker} ended (${signal ?? code}); starting it again in ${pauseMs} ms`);
    setTimeout(() => startWorker(worker, pauseMs), pauseMs);
  });
}

async function answer(to: ChildProcess, worker: number, question: KeeperQuestion): Promise<void> {
  const reply = (text: Partial<KeeperAnswer>, handle?: RawListener) => {
    if (to.connected) to.send({ question: question.number, ...text }, handle as never, () => {});
  };
  try {
    switch (question.kind) {
      case "control":
        return reply({ workers: [...wanted] }, controls.get(worker));
      case "start":
        if (!wanted.has(question.worker)) startWorker(question.worker);
        return reply({});
      case "listen": {
        const { handle, port } = await listen(worker, question.id, question.address);
        return reply({ port }, handle);
      }
      case "keep":
        for (const [id, socket] of held) if (socket.worker === worker && !question.ids.includes(id)) await release(id);
        return reply({});
      case "release":
        await release(question.id);
        return reply({});
    }
  } catch (error) {
    const { code = "listen-failed", message, hint } = error as Error & { code?: string; hint?: string };
    reply({ error: { code, message, hint } });
  }
}

async function listen(worker: number, id: string, at: ListenAddress) {
  const address = JSON.stringify(at);
  const known = held.get(id);
  if (known?.address === address) {
    known.worker = worker;
    return known.bound;
  }
  await release(id);
  const bound = bind(at);
  held.set(id, { worker, address, bound });
  bound.catch(() => held.delete(id));
  return bound;
}

async function bind({ namespace, host, port }: ListenAddress) {
  if (namespace === undefined) return bindRaw(host, port);
  return { handle: await openListener(namespace, host, port, AbortSignal.timeout(bindDeadlineMs)), port };
}

async function release(id: string): Promise<void> {
  const known = held.get(id);
  held.delete(id);
  await known?.bound.then(
    ({ handle }) => handle.close(),
    () => {},
  );
}

/** Node has no public call for binding without listening: see links/raw-socket.ts. */
function bindControl(worker: number): RawListener {
  const { socket } = fileServerFiles(stateDirectory, worker);
  rmSync(socket, { force: true });
  const create = (net as unknown as { _createServerHandle: (path: string, port: -1, type: -1) => RawListener | number })
    ._createServerHandle;
  const handle = create(socket, -1, -1);
  if (typeof handle === "number") throw new Error(`cannot listen on ${socket}: error ${handle}`);
  return handle;
}

function end(): void {
  if (isEnding) return;
  isEnding = true;
  // The workers close their journals when the channel says so, and are not waited for for ever.
  for (const worker of running.values()) if (worker.connected) worker.send({ end: true });
  leaveOnceAllEnded();
  setTimeout(() => {
    for (const worker of running.values()) worker.kill("SIGKILL");
  }, endDeadlineMs);
}

function leaveOnceAllEnded(): void {
  if (running.size === 0) leave();
}

function leave(): never {
  for (const worker of controls.keys()) rmSync(fileServerFiles(stateDirectory, worker).socket, { force: true });
  process.exit(0);
}
