/** Which XenoServers there are on this machine's network, and their namespaces, change one at a time. */
import { closeSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import path from "node:path";
import { waitForLock } from "../../cowfs/journals/lock.ts";

/** Making a namespace takes a fraction of a second. */
const patienceMs = 30_000;

/** Runs `change` while no other process runs one under the same file. Throws `in-use` when another takes too long. */
export async function withNetworkLock<T>(file: string, change: () => Promise<T>): Promise<T> {
  await mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
  const lock = await waitForLock(file, "the network of the XenoServers", patienceMs);
  try {
    return await change();
  } finally {
    closeSync(lock);
  }
}
