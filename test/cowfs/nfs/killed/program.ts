/** A child for kill-server.ts: exports a union over the journal that it is told, and says at which port. */
import net from "node:net";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { exportFileSystem } from "../../../../cowfs/nfs/export.ts";
import { openUnion } from "../../../../cowfs/union/union.ts";
import { directory, resolveFrom } from "../../union/layers.ts";

const union = await openUnion({
  journal: process.argv[2],
  base: "test://empty",
  resolve: resolveFrom({ "test://empty": directory({}) }),
  signal: new AbortController().signal,
  // So small that rounds of checkpoints run all the time, and are killed at any of their steps.
  limits: process.argv[3] === "usual" ? {} : { logBytes: 64 * 1024, fullSegmentBytes: 256 * 1024 },
});
const exported = exportFileSystem({
  fileSystem: union,
  bootEpoch: 1,
  requirePrivilegedPort: false,
  onInternalError: (what, error) => process.send!({ error: `${what}: ${error}` }),
  onFailed: (error) => process.send!({ error: `the export has failed: ${error}` }),
});
const server = net.createServer();
exported.serve(server);
server.listen(0, "127.0.0.1", () => process.send!({ port: (server.address() as net.AddressInfo).port }));
// Asked what it holds: V8's heap with what hangs on it, and the resident set, both after a collection.
let collect: (() => void) | undefined;
process.on("message", () => {
  // Once: a context takes half a megabyte, which comes back late.
  setFlagsFromString("--expose-gc");
  collect ??= runInNewContext("gc") as () => void;
  collect();
  const { heapUsed, external, rss } = process.memoryUsage();
  process.send!({ heldBytes: heapUsed + external, residentBytes: rss });
});
// Who started it is gone.
process.on("disconnect", () => process.exit());
