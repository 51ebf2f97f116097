import { join } from "node:path";

/** Of the processes that serve a XenoServer's exports: what they could be set to. */
export const maxWorkers = 64;

/** What a file server keeps under its XenoServer's state directory; each worker has its socket, its locks and its exports. */
export function fileServerFiles(stateDirectory: string, worker = 0) {
  const own = worker === 0 ? "" : `-${worker}`;
  const exports = join(stateDirectory, `exports${own}`);
  return {
    configuration: join(stateDirectory, "file-server.json"),
    socket: join(stateDirectory, `file-server${own}.sock`),
    /** Held by the keeper, and holds its process id. */
    lock: join(stateDirectory, "file-server.lock"),
    log: join(stateDirectory, "file-server.log"),
    /** Shared with Xenod, which reads kernels through it. */
    cache: join(stateDirectory, "cache"),
    /** What guests have locked, for the next worker. */
    locks: join(stateDirectory, `file-server${own}.locks`),
    exports,
    exportFile: (id: string) => join(exports, `${id}.json`),
    eventsFile: (id: string) => join(exports, `${id}.events`),
  };
}
