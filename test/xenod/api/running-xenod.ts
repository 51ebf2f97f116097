/** A Xenod in the test's own process, without any guest. */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import type { ExecutionContext } from "ava";
import { pino } from "pino";
import { XenodClient } from "../../../xenod/api/client.ts";
import { apiSocket } from "../../../xenod/api/socket-path.ts";
import { type ReadyServer, runXenoServer } from "../../../xenod/daemon/run-xeno-server.ts";
import { stopFileServer } from "../../../xenod/file-server/start.ts";
import { makeStore } from "../published.ts";

/** One that listens on its unix socket, and on a port of 127.0.0.1. */
export async function run(t: ExecutionContext) {
  const published = await makeStore(t);
  const stateDirectory = join(published.directory, "s");
  const { storeDirectory: store, trustDirectory } = published;
  const log = pino({ level: "silent" });
  const options = {
    ...{ name: "a", stateDirectory, store, trustDirectory, log },
    ...{ linkPrefix: `xeno-api${process.pid}-${randomBytes(3).toString("hex")}`, addressPool: "10.77.1.0/24" },
  };
  const ending = new AbortController();
  const { promise: ready, resolve: onReady } = Promise.withResolvers<ReadyServer>();
  const listen = { host: "127.0.0.1", port: 0 };
  const ended = runXenoServer({ ...options, listen, signal: ending.signal, onReady });
  t.teardown(async () => {
    ending.abort();
    await ended.catch(() => {});
    await stopFileServer(stateDirectory);
  });
  const { port, publicKey } = (await Promise.race([ready, ended]))!;
  const client = new XenodClient({ endpoint: { socketPath: apiSocket(stateDirectory) }, name: "a", patienceMs: 200 });
  t.teardown(() => client.close());
  return { published, stateDirectory, options, ending, ended, client, url: `https://127.0.0.1:${port}`, publicKey };
}
