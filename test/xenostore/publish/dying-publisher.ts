/** Program: publishes to the store `argv[2]` with the key in `argv[3]`; killed while it writes the first key that begins with `argv[4]`. */
import { loadKey } from "../../../xenostore/keys/key-ring.ts";
import { beginPublication } from "../../../xenostore/publish/publication.ts";
import { openDirectoryStore } from "../../../xenostore/stores/directory-store.ts";
import { changeStore } from "../change-store.ts";
import { addFiles, makeBytes } from "./sample.ts";

const [root, keys, killedAt] = process.argv.slice(2);
const store = await openDirectoryStore(root);

/** The request is under way when the signal comes: some of it has been done. */
function die(key: string): void {
  if (killedAt === "" || !key.startsWith(killedAt)) return;
  setImmediate(() => process.kill(process.pid, "SIGKILL"));
}

const dying = changeStore(store, {
  putIfAbsent: (key, bytes, options) => {
    const storing = store.putIfAbsent(key, bytes, options);
    die(key);
    return storing;
  },
  compareAndSet: async (key, expected, bytes, options) => {
    if (killedAt !== "" && key.startsWith(killedAt)) process.kill(process.pid, "SIGKILL");
    return await store.compareAndSet(key, expected, bytes, options);
  },
});
const publication = await beginPublication(dying);
const tree = await addFiles(publication, { one: makeBytes(3_000_000, "one"), two: makeBytes(1000, "two") });
const key = await loadKey(keys, "publisher");
const published = await publication.commit(tree, { owner: "demo", name: "app", version: "1", key });
process.send!(published);
process.disconnect();
