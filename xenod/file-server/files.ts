import { join } from "node:path";

/** What a file server keeps under its XenoServer's state directory. */
export function fileServerFiles(stateDirectory: string) {
  return {
    configuration: join(stateDirectory, "file-server.json"),
    socket: join(stateDirectory, "file-server.sock"),
    /** Held by the keeper, and holds its process id. */
    lock: join(stateDirectory, "file-server.lock"),
    log: join(stateDirectory, "file-server.log"),
    /** Shared with Xenod, which reads kernels through it. */
    cache: join(stateDirectory, "cache"),
    /** What guests have locked, for the next worker. */
    locks: join(stateDirectory, "file-server.locks"),
    exports: join(stateDirectory, "exports"),
    exportFile: (id: string) => join(stateDirectory, "exports", `${id}.json`),
    eventsFile: (id: string) => join(stateDirectory, "exports", `${id}.events`),
  };
}
