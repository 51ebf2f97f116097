/** One measurement: one row at one depth against one server, or against several at once. */
import { join } from "node:path";
import { readProcessorSeconds, startChild } from "./child.ts";
import type { DataSize } from "./rows.ts";
import type { Server } from "./servers.ts";

export interface Load {
  /** The compiled nfs/client. */
  readonly client: string;
  readonly row: string;
  readonly depth: number;
  readonly seconds: number;
  readonly size: DataSize;
  readonly logs: string;
}

export interface Target {
  readonly server: Server;
  /** The client's. */
  readonly core: number | undefined;
}

/** The sum of all, whose loads begin together. Rejects with `benchmark-process` when a server gave one wrong answer. */
export async function measureTogether(targets: readonly Target[], load: Load) {
  const clients = targets.map((target) => startClient(target, load));
  const pids = [...new Set(targets.map(({ server }) => server.pid))];
  const readProcessors = () => pids.reduce((sum, pid) => sum + readProcessorSeconds(pid), 0);
  try {
    for (const client of clients) await client.readLine();
    const before = readProcessors();
    for (const client of clients) client.tell("go");
    const results = await Promise.all(clients.map(async (client) => (await client.readLine()).split(" ").map(Number)));
    const processorSeconds = readProcessors() - before;
    for (const client of clients) await client.readLine();
    const seconds = Math.max(...results.map(([, , took]) => took));
    const sum = (index: number) => results.reduce((total, result) => total + result[index], 0);
    return { units: sum(0), bytes: sum(1), seconds, processorSeconds };
  } finally {
    for (const client of clients) await client.end();
  }
}

function startClient({ server, core }: Target, load: Load) {
  const { names, dataBytes, bigBytes } = load.size;
  const where = ["127.0.0.1", server.nfsPort, server.mountPort, server.path];
  const words = [load.client, "run", ...where, load.row, load.depth, load.seconds, names, dataBytes, bigBytes];
  return startChild(words.map(String), join(load.logs, `client-${server.name}.log`), core);
}
