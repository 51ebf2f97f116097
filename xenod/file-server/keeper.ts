/**
 * Program: the parent of a file server's worker, kept so small that it never needs to be ended or upgraded.
 *
 * - (K1) It owns every listening socket, the control socket too, and accepts on none. While no worker runs, whoever connects
 *   waits in the backlog and is not refused.
 * - (K2) A worker that ends, however it ends, is started again: at once, or after a growing pause while it dies at its start.
 * - (K3) A worker ends when its keeper does: sockets have one owner, and journals one opener.
 * - (K4) It depends on nothing of Xenod, which may be killed, upgraded and started again.
 */
import { type ChildProcess, fork } from "node:child_process";
import { existsSync, rmSync } from "node:fs";
import net from "node:net";
import { takeLock } from "../../cowfs/journals/lock.ts";
import { openListener, type RawListener } from "../links/listener.ts";
import { bindRaw } from "../links/raw-socket.ts";
import { fileServerFiles } from "./files.ts";
import type { KeeperAnswer, KeeperQuestion } from "./keeper-channel.ts";
import type { ListenAddress } from "./protocol.ts";

const healthyMs = 5_000;
const maxPauseMs = 5_000;
const endDeadlineMs = 10_000;
const bindDeadlineMs = 20_000;

const stateDirectory = process.argv[2];
const files = fileServerFiles(stateDirectory);
process.umask(0o077);
takeLock(files.lock, `the file server of ${stateDirectory}`);
const control = bindControl();
const held = new Map<string, { address: string; bound: Promise<{ handle: RawListener; port: number }> }>();
let worker: ChildProcess;
let pauseMs = 0;
let isEnding = false;

startWorker();
process.on("SIGTERM", end);
process.on("SIGINT", end);

function startWorker(): void {
  const started = performance.now();
  worker = fork(new URL("worker.ts", import.meta.url), [stateDirectory], { execArgv: ["--no-warnings"] });
  const current = worker;
  current.on("message", (question: KeeperQuestion) => void answer(current, question));
  current.on("error", (error) => console.error("keeper:", error.message));
  current.on("exit", (code, signal) => {
    // Without its directory a XenoServer is gone, and nobody could end this any more.
    if (isEnding || !existsSync(files.configuration)) leave();
    pauseMs = performance.now() - started > healthyMs ? 0 : Math.min(maxPauseMs, pauseMs * 2 || 50);
    console.error(`keeper: the worker ended (${signal ?? code}); starting it again in ${pauseMs} ms`);
    setTimeout(startWorker, pauseMs);
  });
}

async function answer(to: ChildProcess, question: KeeperQuestion): Promise<void> {
  const reply = (text: Partial<KeeperAnswer>, handle?: RawListener) => {
    if (to.connected) to.send({ question: question.number, ...text }, handle as never, () => {});
  };
  try {
    switch (question.kind) {
      case "control":
        return reply({}, control);
      case "listen": {
        const { handle, port } = await listen(question.id, question.address);
        return reply({ port }, handle);
      }
      case "keep":
        for (const id of held.keys()) if (!question.ids.includes(id)) await release(id);
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

async function listen(id: string, wanted: ListenAddress) {
  const address = JSON.stringify(wanted);
  const known = held.get(id);
  if (known?.address === address) return known.bound;
  await release(id);
  const bound = bind(wanted);
  held.set(id, { address, bound });
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
function bindControl(): RawListener {
  rmSync(files.socket, { force: true });
  const create = (net as unknown as { _createServerHandle: (path: string, port: -1, type: -1) => RawListener | number })
    ._createServerHandle;
  const handle = create(files.socket, -1, -1);
  if (typeof handle === "number") throw new Error(`cannot listen on ${files.socket}: error ${handle}`);
  return handle;
}

function end(): void {
  if (isEnding) return;
  isEnding = true;
  // The worker closes its journals when the channel says so, and is not waited for for ever.
  if (worker.connected) worker.send({ end: true });
  else leave();
  setTimeout(() => worker.kill("SIGKILL"), endDeadlineMs);
}

function leave(): never {
  rmSync(files.socket, { force: true });
  process.exit(0);
}
