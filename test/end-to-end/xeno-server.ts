/** A XenoServer on a switch of its own, with its Xenod in a process; all gone when the tests end. */
import { type ChildProcess, fork } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { ExecutionContext } from "ava";
import { pino } from "pino";
import { XenodClient } from "../../xenod/api/client.ts";
import { apiSocket, shutdownServer } from "../../xenod/daemon/run-xeno-server.ts";
import { stopFileServer } from "../../xenod/file-server/start.ts";
import { createSimulator } from "../../xenod/hypervisors/simulator/simulator.ts";
import { claimPrefix, sweepLinks } from "../../xenod/links/sweep.ts";
import { createSwitch, joinSwitch } from "../../xenod/links/switch.ts";
import { makeStore, type Published } from "../xenod/published.ts";

export interface RunningServer {
  readonly published: Published;
  readonly stateDirectory: string;
  readonly prefix: string;
  readonly client: XenodClient;
  /** Kills the Xenod that runs; guests and file server go on. */
  kill(): Promise<void>;
  /** Starts a Xenod; settles once it answers. */
  launch(): Promise<void>;
  /** The Xenod that runs will kill itself at this step: see Host.onStep. */
  dieAt(step: string): Promise<void>;
  /** Settles when the Xenod that runs has died. */
  died(): Promise<void>;
  shutdown(): Promise<void>;
  readLogs(): Promise<string>;
}

/** `simulates`: its guests are the simulator's. */
export async function startXenoServer(
  t: Pick<ExecutionContext, "teardown" | "log">,
  { simulates = false }: { simulates?: boolean } = {},
): Promise<RunningServer> {
  const published = await makeStore(t);
  const prefix = `xeno-t${randomBytes(3).toString("hex")}`;
  const records = join(published.directory, "links");
  await claimPrefix(prefix, records);
  t.teardown(async () => void (await sweepLinks(prefix, records)));
  await createSwitch(prefix);
  const pool = "10.77.1.0/24";
  const namespace = await joinSwitch({ prefix, name: "a", address: "10.77.0.1", forwards: true, routes: [] });
  const stateDirectory = join(published.directory, "s");
  const { storeDirectory: store, trustDirectory } = published;
  const logFile = join(published.directory, "xenod.log");
  const where = { name: "a", stateDirectory, store, trustDirectory };
  const options = { ...where, linkPrefix: prefix, namespace, addressPool: pool };
  const client = new XenodClient({
    endpoint: { socketPath: apiSocket(stateDirectory) },
    name: "a",
    patienceMs: 10_000,
  });
  t.teardown(() => client.close());

  const hypervisor = simulates ? createSimulator() : undefined;
  const started: ChildProcess[] = [];
  const launch = async () => {
    const program = new URL("run-xenod.ts", import.meta.url).pathname;
    const argument = JSON.stringify({ ...options, logFile, simulates });
    const child = fork(program, [argument], { execArgv: ["--no-warnings"] });
    started.push(child);
    await Promise.race([
      once(child, "message"),
      once(child, "exit").then(() => Promise.reject(new Error("Xenod ended"))),
    ]);
  };
  const kill = async () => {
    for (const child of started.splice(0)) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill("SIGKILL");
      await once(child, "exit");
    }
  };
  const dieAt = async (step: string) => {
    const child = started.at(-1)!;
    const noted = once(child, "message");
    child.send(step);
    await noted;
  };
  const died = async () => {
    const child = started.at(-1)!;
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  };
  const shutdown = async () => {
    await kill();
    try {
      await shutdownServer({ ...options, hypervisor, log: pino({ level: "silent" }) }, { graceMs: 0, remove: true });
    } finally {
      await stopFileServer(stateDirectory);
    }
  };
  const readLogs = async () => {
    const files = [logFile, join(stateDirectory, "file-server.log")];
    return (await Promise.all(files.map((file) => readFile(file, "utf8").catch(() => "")))).join("\n");
  };
  t.teardown(shutdown);
  await launch();
  return { published, stateDirectory, prefix, client, kill, launch, dieAt, died, shutdown, readLogs };
}
