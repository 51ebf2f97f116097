import { closeSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { takeLock } from "../../cowfs/journals/lock.ts";

/** A state directory has one process at a time, which lets go of it with its end. Throws `in-use`. */
export function holdState(directory: string, what: string): Disposable {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const lock = takeLock(join(directory, "lock"), what);
  return { [Symbol.dispose]: () => closeSync(lock) };
}
