/** Serves a union over a journal at a directory, both given, until it is killed. */
import { mountFileSystem } from "../../../cowfs/fuse/mount.ts";
import { openUnion } from "../../../cowfs/union/union.ts";
import { resolveFrom } from "../union/layers.ts";

const [journal, directory] = process.argv.slice(2);
const { signal } = new AbortController();
const union = await openUnion({ journal, resolve: resolveFrom({}), signal });
const mount = await mountFileSystem(union, directory, { name: "union" });
console.log("mounted");
await mount.unmounted;
