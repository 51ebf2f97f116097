/** Starts `xeno server run` as a process of its own, in the network namespace of the XenoServer. */
import { type ChildProcess, spawn } from "node:child_process";
import fs from "node:fs/promises";
import path from "node:path";
import { XenoError } from "../../cowfs/errors.ts";
import { XenodClient } from "../../xenod/api/client.ts";
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

/** Settles once it answers. Rejects with `server-failed` and the end of its log when it ends first. */
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
  const ended = new Promise<never>((_, reject) =>
    child.once("exit", async () => {
      const text = await fs.readFile(logFile, "utf8").catch(() => "");
      reject(new XenoError("server-failed", `XenoServer ${start.name} ended at its start:\n${text.slice(-2000)}`));
    }),
  );
  ended.catch(() => {});
  const socketPath = path.join(start.stateDirectory, "xenod.sock");
  const client = new XenodClient({ endpoint: { socketPath }, name: start.name, patienceMs: 120_000 });
  await Promise.race([client.status(start.signal), ended]);
  return { name: start.name, client, process: child };
}
