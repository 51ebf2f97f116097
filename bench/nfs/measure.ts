/** One measurement: one row at one depth against one server. */
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
  readonly core: number | undefined;
  readonly logs: string;
}

/** Rejects with `benchmark-process` when the server gave one wrong answer. */
export async function measure(server: Server, load: Load) {
  const { names, dataBytes, bigBytes } = load.size;
  const where = ["127.0.0.1", server.nfsPort, server.mountPort, server.path];
  const words = [load.client, "run", ...where, load.row, load.depth, load.seconds, names, dataBytes, bigBytes];
  const log = join(load.logs, `client-${server.name}.log`);
  const client = startChild(words.map(String), log, load.core);
  try {
    await client.readLine();
    const before = readProcessorSeconds(server.pid);
    client.tell("go");
    const [units, bytes, seconds] = (await client.readLine()).split(" ").map(Number);
    const processorSeconds = readProcessorSeconds(server.pid) - before;
    await client.readLine();
    return { units, bytes, seconds, processorSeconds };
  } finally {
    await client.end();
  }
}
