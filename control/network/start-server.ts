/** Starts `xeno server run` as a process of its own, in the network namespace of the XenoServer. */
import { type ChildProcess, spawn } from "node:child_process";
import fs from "node:fs/promises";
import path from "node:path";
import { XenoError } from "../../cowfs/errors.ts";
import { XenodClient } from "../../xenod/api/client.ts";
import { apiSocket } from "../../xenod/api/socket-path.ts";
import { namespacePath } from "../../xenod/links/namespaces.ts";
import { joinServer, type LocalServer } from "./local-network.ts";

export interface StartedServer {
  readonly name: string;
  readonly client: XenodClient;
  readonly process: ChildProcess;
}

export interface ServerStart extends LocalServer {
  readonly prefix: string;
  readonly stateDirectory: string;
  readonly store: string;
  readonly trustDirectory: string;
  /** Whether other XenoServers reach it. */
  readonly listens?: boolean;
  readonly signal: AbortSignal;
}

/** Of a namespace of its own. */
const apiPort = 7443;
const program = path.join(import.meta.dirname, "..", "cli", "main.ts");
/** A Xenod that is told to end closes its file server's exports first. */
const endingMs = 30_000;

/**
 * Settles once it answers. Rejects with `server-failed` and the end of its log when it ends first, and with what the signal says;
 * the process is gone by then.
 */
export async function startServer(start: ServerStart): Promise<StartedServer> {
  const { namespace, address } = await joinServer(start.prefix, start);
  await fs.mkdir(start.stateDirectory, { recursive: true, mode: 0o700 });
  const logFile = path.join(start.stateDirectory, "xenod.log");
  const log = await fs.open(logFile, "w", 0o600);
  const options = ["--name", start.name, "--number", String(start.number), "--prefix", start.prefix];
  const paths = ["--state", start.stateDirectory, "--trust", start.trustDirectory, "--store", start.store];
  if (start.listens) options.push("--listen", `${address}:${apiPort}`);
  const child = spawn(
    "nsenter",
    [`--net=${namespacePath(namespace)}`, process.execPath, program, "server", "run", ...options, ...paths],
    // In a process group of its own: Ctrl-C is for the one who started it, who then ends it in order.
    { stdio: ["ignore", log.fd, log.fd], detached: true },
  );
  await log.close();
  const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()).once("error", () => resolve()));
  const failed = gone.then(async () => {
    const text = await fs.readFile(logFile, "utf8").catch(() => "");
    throw new XenoError("server-failed", `XenoServer ${start.name} ended at its start:\n${text.slice(-2000)}`);
  });
  failed.catch(() => {});
  const endpoint = { socketPath: apiSocket(start.stateDirectory) };
  const client = new XenodClient({ endpoint, name: start.name, patienceMs: 120_000 });
  try {
    await Promise.race([client.status(start.signal), failed]);
  } catch (error) {
    await client.close();
    await endProcess(child, gone);
    throw error;
  }
  return { name: start.name, client, process: child };
}

/** In order, and hard where that takes too long: as one that stands still. */
async function endProcess(child: ChildProcess, gone: Promise<void>): Promise<void> {
  child.kill("SIGTERM");
  const hard = setTimeout(() => child.kill("SIGKILL"), endingMs);
  await gone.finally(() => clearTimeout(hard));
}
