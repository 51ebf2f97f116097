import { closeSync } from "node:fs";
import fs from "node:fs/promises";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { XenoError } from "../../cowfs/errors.ts";
import { takeLock } from "../../cowfs/journals/lock.ts";

const patienceMs = 60_000;
const retryMs = 50;

/** Waits until no other process has its turn, and holds it until disposed of, or until this process dies. */
export async function takeTurn(file: string, what: string, signal: AbortSignal): Promise<Disposable> {
  await fs.mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
  const end = performance.now() + patienceMs;
  for (;;) {
    try {
      const lock = takeLock(file, what);
      return { [Symbol.dispose]: () => closeSync(lock) };
    } catch (error) {
      if (!(error instanceof XenoError && error.code === "in-use") || performance.now() > end) throw error;
      await delay(retryMs, undefined, { signal });
    }
  }
}
