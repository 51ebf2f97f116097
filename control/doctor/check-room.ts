import { statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { type Check, pass } from "./check.ts";

const gibibyte = 2 ** 30;
/** A template, its packs, mmdebstrap's scratch and a few journals. */
const leastDiskBytes = 4 * gibibyte;
/** Three guests of 256 MiB with their processes. */
const leastMemoryBytes = 1.5 * gibibyte;

/** What this process may have, limits of its control group included. */
export function checkMemory(): Check {
  const bytes = process.availableMemory();
  const found = `${format(bytes)} available`;
  if (bytes >= leastMemoryBytes) return pass("memory", found, false);
  const missing = `${format(leastMemoryBytes)}, for three guests`;
  return {
    name: "memory",
    ok: false,
    required: false,
    found,
    missing,
    howToGet: "end other programs, or run fewer guests",
  };
}

/** `directory` need not exist yet: its nearest ancestor that does is asked. */
export async function checkDisk(name: string, directory: string, purpose: string): Promise<Check> {
  const bytes = await freeBytes(directory);
  const found = `${format(bytes)} free for ${directory}`;
  if (bytes >= leastDiskBytes) return pass(name, found);
  const missing = `${format(leastDiskBytes)}, for ${purpose}`;
  return { name, ok: false, required: true, found, missing, howToGet: "free some, or set XENO_HOME to a larger disk" };
}

async function freeBytes(directory: string): Promise<number> {
  try {
    const { bavail, bsize } = await statfs(directory);
    return bavail * bsize;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return freeBytes(dirname(directory));
    return 0;
  }
}

function format(bytes: number): string {
  return `${(bytes / gibibyte).toFixed(1)} GiB`;
}
