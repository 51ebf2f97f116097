/** A XenoServer on a switch of its own, with its Xenod in a process; all gone when the tests end. */
import { type ChildProcess, fork } from "node:child_process";
import { randomBytes, randomInt } from "node:crypto";
import { once } from "node:events";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { ExecutionContext } from "ava";
import { execa } from "execa";
import { pino } from "pino";
import { XenodClient } from "../../xenod/api/client.ts";
import { apiSocket } from "../../xenod/api/socket-path.ts";
import type { ReadyServer } from "../../xenod/daemon/run-xeno-server.ts";
import { shutdownServer } from "../../xenod/daemon/run-xeno-server.ts";
import { stopFileServer } from "../../xenod/file-server/start.ts";
import { createSimulator } from "../../xenod/hypervisors/simulator/simulator.ts";
import { claimPrefix, sweepLinks } from "../../xenod/links/sweep.ts";
import { createSwitch, joinSwitch } from "../../xenod/links/switch.ts";
import type { Peer } from "../../xenod/migration/peers/peer.ts";
import { trustKey } from "../../xenostore/keys/key-ring.ts";
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
  /** What others call it by. */
  readonly peer: Peer;
  /** The Xenod that runs will kill itself at this step: see Host.onStep. */
  dieAt(step: string): Promise<void>;
  /** The Xenod that runs stands still at this step once: settles when it does, with what lets it go on. */
  holdAt(step: string): Promise<{ readonly reached: Promise<void>; goOn(): Promise<void> }>;
  /** Settles when the Xenod that runs has died. */
  died(): Promise<void>;
  shutdown(): Promise<void>;
  readLogs(): Promise<string>;
}

type Test = Pick<ExecutionContext, "teardown" | "log">;

export interface ServersOptions {
  /** Guests are the simulator's. */
  readonly simulates?: boolean;
  /** They take each other's domains. */
  readonly areFriends?: boolean;
  /** Each has a disk of its own, of so many bytes, in memory. */
  readonly diskBytes?: number;
  /** See XenoServerOptions. */
  readonly migrationPatienceMs?: number;
}

export async function startXenoServer(t: Test, options: ServersOptions = {}): Promise<RunningServer> {
  const [server] = await startXenoServers(t, ["a"], options);
  return server!;
}

/** Several on one switch and one store; their guests' addresses are 10.77.1.*, 10.77.2.*, and so on. */
export async function startXenoServers(
  t: Test,
  names: readonly string[],
  { areFriends = false, ...options }: ServersOptions = {},
): Promise<RunningServer[]> {
  const published = await makeStore(t);
  const prefix = `xeno-t${randomBytes(3).toString("hex")}`;
  const records = join(published.directory, "links");
  await claimPrefix(prefix, records);
  t.teardown(async () => void (await sweepLinks(prefix, records)));
  await createSwitch(prefix);
  const servers: RunningServer[] = [];
  for (const [at, name] of names.entries())
    servers.push(await startOne(t, { published, prefix, name, number: at + 1, ...options }));
  if (areFriends)
    for (const { peer } of servers) await trustKey(published.trustDirectory, `xenoserver+${peer.name}`, peer.publicKey);
  return servers;
}

interface Place extends Omit<ServersOptions, "areFriends"> {
  readonly published: Published;
  readonly prefix: string;
  readonly name: string;
  readonly number: number;
}

async function startOne(t: Test, place: Place): Promise<RunningServer> {
  const { published, prefix, name, number, simulates = false, diskBytes, migrationPatienceMs } = place;
  const address = `10.77.0.${number}`;
  const namespace = await joinSwitch({ prefix, name, address, forwards: true, routes: [] });
  const stateDirectory = join(published.directory, name === "a" ? "s" : name);
  if (diskBytes !== undefined) {
    await mkdir(stateDirectory);
    await execa("mount", ["-t", "tmpfs", "-o", `size=${diskBytes}`, "tmpfs", stateDirectory]);
    t.teardown(() => execa("umount", ["--lazy", stateDirectory]));
  }
  const { storeDirectory: store, trustDirectory } = published;
  const logFile = join(published.directory, `xenod-${name}.log`);
  const where = { name, stateDirectory, store, trustDirectory };
  const options = { ...where, linkPrefix: prefix, namespace, addressPool: `10.77.${number}.0/24`, migrationPatienceMs };
  const endpoint = { socketPath: apiSocket(stateDirectory) };
  const client = new XenodClient({ endpoint, name, patienceMs: 10_000 });
  t.teardown(() => client.close());

  const hypervisor = simulates ? createSimulator() : undefined;
  const started: ChildProcess[] = [];
  // An address of its own, on which nobody takes its port while it is down.
  const host = `127.${randomInt(1, 255)}.${randomInt(1, 255)}.${number}`;
  let port = 0;
  let publicKey = "";
  const launch = async () => {
    const program = new URL("run-xenod.ts", import.meta.url).pathname;
    // The one that it had before, so that others find it again.
    const argument = JSON.stringify({ ...options, logFile, simulates, listen: { host, port } });
    const child = fork(program, [argument], { execArgv: ["--no-warnings"] });
    started.push(child);
    const [ready] = (await Promise.race([
      once(child, "message"),
      once(child, "exit").then(() => Promise.reject(new Error("Xenod ended"))),
    ])) as [ReadyServer];
    port = ready.port!;
    publicKey = ready.publicKey;
  };
  const kill = async () => {
    for (const child of started.splice(0)) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill("SIGKILL");
      await once(child, "exit");
    }
  };
  const tell = async (message: { dies?: string; holds?: string; goOn?: boolean }) => {
    const child = started.at(-1)!;
    const noted = hear(child, "noted");
    child.send(message);
    await noted;
  };
  const dieAt = (step: string) => tell({ dies: step });
  const holdAt = async (step: string) => {
    const reached = hear(started.at(-1)!, "holding");
    reached.catch(() => {});
    await tell({ holds: step });
    return { reached, goOn: () => tell({ goOn: true }) };
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
  const peer = { name, url: `https://${host}:${port}`, publicKey };
  return { published, stateDirectory, prefix, client, peer, kill, launch, dieAt, holdAt, died, shutdown, readLogs };
}

/** Settles when the process says so; rejects when it ends first. */
async function hear(child: ChildProcess, what: string): Promise<void> {
  const over = new AbortController();
  const { signal } = over;
  try {
    const ended = once(child, "exit", { signal }).then(() =>
      Promise.reject(new Error(`Xenod ended before it said ${what}`)),
    );
    ended.catch(() => {});
    for (;;) {
      const [said] = await Promise.race([once(child, "message", { signal }), ended]);
      if (said === what) return;
    }
  } finally {
    over.abort();
  }
}
