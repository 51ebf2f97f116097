import { randomUUID } from "node:crypto";
import fs from "node:fs/promises";
import path from "node:path";

/**
 * Puts a small file of a cache into its place, whole: who reads it meanwhile finds the one before. What finds no room leaves
 * nothing, and rejects with the system's error. `flush`: it is on the disk before it has its name.
 */
export async function keepFile(file: string, content: Buffer | string, { flush = false } = {}): Promise<void> {
  const temporary = `${file}.${randomUUID()}`;
  try {
    await fs.mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
    await fs.writeFile(temporary, content, { mode: 0o600, flush });
    await fs.rename(temporary, file);
  } catch (error) {
    await fs.rm(temporary, { force: true }).catch(() => {});
    throw error;
  }
}
