/**
 * The exports of workers that there are no more, since there are to be fewer, become the first's: with their locks. Done before
 * any other worker is started, each export in one step: whoever is killed here does the rest the next time.
 */
import { existsSync } from "node:fs";
import { mkdir, readdir, rename, rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { syncDirectory } from "../state-file.ts";
import { fileServerFiles, maxWorkers } from "./files.ts";

/** Returns the files of locks of those that are gone, to be removed once they are taken over. */
export async function adoptExports(stateDirectory: string, workers: number): Promise<string[]> {
  const own = fileServerFiles(stateDirectory);
  const locks: string[] = [];
  for (let worker = workers; worker < maxWorkers; worker++) {
    const theirs = fileServerFiles(stateDirectory, worker);
    if (existsSync(theirs.locks)) locks.push(theirs.locks);
    if (!existsSync(theirs.exports)) continue;
    await mkdir(own.exports, { recursive: true, mode: 0o700 });
    for (const file of await readdir(theirs.exports)) {
      if (file.endsWith(".tmp")) await rm(join(theirs.exports, file), { force: true });
      else await rename(join(theirs.exports, file), join(own.exports, file));
    }
    await syncDirectory(own.exports);
    await rmdir(theirs.exports);
  }
  return locks;
}
