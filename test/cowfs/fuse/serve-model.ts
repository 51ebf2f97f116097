/** Serves a model at the given directory until it is told to stop; SIGUSR2 makes it die of an error. */
import { mountFileSystem } from "../../../cowfs/fuse/mount.ts";
import { createModel } from "../model/model.ts";

const stop = new AbortController();
process.on("SIGTERM", () => stop.abort());
process.on("SIGINT", () => stop.abort());
process.on("SIGUSR2", () => {
  throw new Error("a mistake");
});
const mount = await mountFileSystem(createModel(), process.argv[2], { name: "model", signal: stop.signal });
console.log("mounted");
await mount.unmounted;
