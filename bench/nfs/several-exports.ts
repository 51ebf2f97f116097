/**
 * Several exports of one file server over several cores: what a second export, and a second process, add.
 *
 * Load and server share this machine's cores, so each arrangement says what runs where. Where a process and the load for its export are
 * on one core together, every core that is added brings its share of the load along: what grows then grows by the server alone.
 */
import { mkdir } from "node:fs/promises";
import os from "node:os";
import { join } from "node:path";
import { FileServerClient } from "../../xenod/file-server/client.ts";
import { startFileServer, stopFileServer } from "../../xenod/file-server/start.ts";
import { runChild } from "./child.ts";
import { type Load, measureTogether, type Target } from "./measure.ts";
import { type Arrangement, arrangements, type Measurement, severalCondition } from "./rows.ts";
import { type Server, startOurs } from "./servers.ts";

const depth = 16;
const operations = ["getattr", "read4k", "seqread"];

export interface SeveralOptions {
  /** An empty directory for journals. */
  readonly directory: string;
  readonly home: string;
  readonly url: string;
  readonly repetition: number;
  readonly load: Omit<Load, "row" | "depth">;
  tell(text: string): void;
  report(measurement: Measurement): void;
}

/** Needs two cores: on one there is nothing to be seen. */
export async function compareSeveral(options: SeveralOptions): Promise<void> {
  if (os.availableParallelism() < 2) return options.tell("several exports: one core, nothing to compare");
  const { repetition } = options;
  const order = repetition % 2 === 0 ? arrangements.toReversed() : arrangements;
  for (const [index, arrangement] of order.entries()) {
    options.tell(`${severalCondition}, ${repetition}: ${arrangement.name}`);
    const directory = join(options.directory, String(index));
    await mkdir(directory);
    await using cleanup = new AsyncDisposableStack();
    const servers = await start(arrangement, directory, options, cleanup);
    const targets = arrangement.loads.map((load): Target => ({ server: servers[load.export], core: load.core }));
    for (const row of operations) {
      const measured = await measureTogether(targets, { ...options.load, row, depth });
      options.report({ condition: severalCondition, row, depth, server: arrangement.name, repetition, ...measured });
    }
  }
}

async function start(
  { workers, cores }: Arrangement,
  directory: string,
  { home, url, load: { logs } }: SeveralOptions,
  cleanup: AsyncDisposableStack,
): Promise<Server[]> {
  if (workers === 0) {
    const server = await startOurs({ directory, home, url, logs, core: cores[0], lower: "", profile: undefined });
    cleanup.defer(() => server.end());
    return [server];
  }
  const paths = { store: join(home, "store"), trustDirectory: join(home, "keys") };
  cleanup.defer(() => stopFileServer(home));
  await startFileServer(home, { name: "bench", ...paths, workers });
  const client = new FileServerClient(home);
  cleanup.defer(() => client.close());
  const servers: Server[] = [];
  for (const id of ["a", "b"]) {
    cleanup.defer(() => client.deleteExport(id));
    const listen = { host: "127.0.0.1", port: 0 };
    const { port, process } = await client.putExport(id, { url, journal: join(directory, id), listen });
    servers.push({ name: "xeno", pid: process, nfsPort: port, mountPort: port, path: "/", end: async () => {} });
  }
  const pids = [...new Set(servers.map(({ pid }) => pid))];
  for (const [worker, pid] of pids.entries()) {
    const words = ["taskset", "--all-tasks", "--cpu-list", "--pid", String(cores[worker]), String(pid)];
    await runChild(words, join(logs, "setup.log"));
  }
  return servers;
}
