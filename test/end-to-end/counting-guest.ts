/** A guest that writes to its root all the time, and sees when anything of it is lost, doubled or refused. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Published, publishFiles } from "../xenod/published.ts";
import { publishTestKernel } from "./guest-kernel.ts";

export interface CountingOptions {
  /** Between two counts. Default: 0.1. */
  readonly pauseSeconds?: number;
  /** Default: 128. */
  readonly memoryMiB?: number;
}

/** Counts in memory and in a file, which must agree for ever; each count is synced, and appended to a log. */
const writeInit = (pauseSeconds: number) => `#!/bin/busybox sh
/bin/busybox --install -s /bin
echo "guest: up"
n=0
while true; do
  n=$((n + 1))
  if echo "$n" >>/data/log && sync -d /data/log 2>/dev/null && [ "$(tail -n 1 /data/log)" = "$n" ] && [ "$(wc -l </data/log)" = "$n" ]; then
    echo "guest: OK $n clock $(date +%s) rtc $(cat /sys/class/rtc/rtc0/since_epoch 2>/dev/null)"
  else
    echo "guest: ERROR $n"
  fi
  sleep ${pauseSeconds}
done
`;

/** What a deployment needs of it. */
export async function publishCountingGuest(
  published: Published,
  { pauseSeconds = 0.1, memoryMiB = 128 }: CountingOptions = {},
) {
  const kernel = await publishTestKernel(published);
  const files = { "bin/busybox": await readFile("/bin/busybox"), "sbin/init": writeInit(pauseSeconds) };
  const directories = ["dev", "proc", "sys", "data", "root"];
  const overlay = await publishFiles(published, "counter", files, { executables: Object.keys(files), directories });
  return { overlay, kernel, memoryMiB, cpus: 1 };
}

/** How far it has counted on this console. Throws where it saw an error. */
export async function readCount(directory: string): Promise<number> {
  return Number((await readLast(directory))?.[1] ?? 0);
}

/** What it last took the time for, by its own clock and by its machine's, in s since the epoch. */
export async function readClocks(directory: string): Promise<{ clock: number; rtc: number }> {
  const [, , clock, rtc] = (await readLast(directory)) ?? [];
  return { clock: Number(clock), rtc: Number(rtc) };
}

async function readLast(directory: string): Promise<RegExpMatchArray | undefined> {
  return parseLast(await readFile(join(directory, "console.log"), "latin1").catch(() => ""));
}

/** How far a console's record says that it has counted. Throws where it saw an error. */
export function parseCount(text: string): number {
  return Number(parseLast(text)?.[1] ?? 0);
}

/** Not every machine has a clock: Xen's PVH guests have none. */
function parseLast(text: string): RegExpMatchArray | undefined {
  if (/guest: ERROR|Stale|Input\/output/.test(text)) throw new Error(`the guest saw an error: ${text.slice(-500)}`);
  return [...text.matchAll(/guest: OK (\d+) clock (\d+) rtc (\d*)\s/g)].at(-1);
}
