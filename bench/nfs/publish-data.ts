/** Publishes a directory as an overlay in a store of its own, and brings all of it into the cache. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { importDirectory } from "../../templates/import/import-directory.ts";
import { openLayers } from "../../templates/layers/open-layers.ts";
import { createKey, readTrust, trustKey } from "../../xenostore/keys/key-ring.ts";
import { beginPublication } from "../../xenostore/publish/publication.ts";
import { openDirectoryStore } from "../../xenostore/stores/directory-store.ts";

const owner = "bench";
const name = "nfs";

/** `home` gets `store`, `keys` and `cache`; the packs are dropped, because in a tmpfs they would be a second copy. */
export async function publishData(directory: string, home: string, signal: AbortSignal): Promise<string> {
  const store = await openDirectoryStore(join(home, "store"), { create: true });
  const key = await createKey(join(home, "keys"), owner);
  await trustKey(join(home, "keys"), owner, key.publicKey);
  const publication = await beginPublication(store, { signal });
  const root = await importDirectory(directory, publication, { signal });
  await publication.commit(root, { owner, name, version: "1", key });
  const url = `xenostore://${owner}/${name}`;
  const layers = openLayers({ store, trust: readTrust(join(home, "keys")), cacheDirectory: join(home, "cache") });
  try {
    const opened = await layers.open(url, undefined, signal);
    await opened.bringAhead({ signal });
  } finally {
    await layers.close();
  }
  await rm(join(home, "store", "packs"), { recursive: true, force: true });
  return url;
}
