/**
 * Our contender as a process: what `xeno serve` runs, over a tree that is all in the cache.
 *
 * `our-server.ts HOME JOURNAL URL [async]`: prints its port once it serves; ends at SIGTERM.
 */
import { join } from "node:path";
import { openLayers } from "../../templates/layers/open-layers.ts";
import { serveUnion } from "../../xenod/file-server/serve-union.ts";
import { readTrust } from "../../xenostore/keys/key-ring.ts";
import { openDirectoryStore } from "../../xenostore/stores/directory-store.ts";

const [home, journal, url, async] = process.argv.slice(2);
const layers = openLayers({
  store: await openDirectoryStore(join(home, "store")),
  trust: readTrust(join(home, "keys")),
  cacheDirectory: join(home, "cache"),
});
const server = await serveUnion({
  url,
  journal,
  resolve: layers.resolve,
  listen: { host: "127.0.0.1", port: 0 },
  unsafeAsync: async !== undefined,
  signal: new AbortController().signal,
  onTrouble: (what, error) => process.stderr.write(`${what}: ${error}\n`),
});
process.stdout.write(`${server.port}\n`);
await Promise.race([new Promise((resolve) => process.once("SIGTERM", resolve)), server.failed]);
await server.close();
await layers.close();
process.exit();
