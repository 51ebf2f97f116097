/** Other processes, told apart by when they started: a process id alone is reused (proc(5)). */
import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";

/** Field 22 of /proc/PID/stat, or undefined when no such process runs (one that waits to be reaped does not run). */
export async function readStartTime(pid: number): Promise<string | undefined> {
  const fields = await readFields(pid);
  return fields === undefined || fields[0] === "Z" || fields[0] === "X" ? undefined : fields[19];
}

/** Processor time that it has used, all its threads together, in ms. */
export async function readCpuMs(pid: number): Promise<number | undefined> {
  const fields = await readFields(pid);
  return fields && ((Number(fields[11]) + Number(fields[12])) * 1000) / ticksPerSecond;
}

/** USER_HZ, on every architecture that Node runs on. */
const ticksPerSecond = 100;

/** The fields of /proc/PID/stat from the third on. */
async function readFields(pid: number): Promise<string[] | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, "latin1").catch(() => undefined);
  // The second field is the program's name in parentheses; it may hold spaces and parentheses itself.
  return stat?.slice(stat.lastIndexOf(")") + 2).split(" ");
}

/** Of this life of the host: random(4). */
export async function readBootId(): Promise<string> {
  return (await readFile("/proc/sys/kernel/random/boot_id", "latin1")).trim();
}

/** Whether the process was gone within the time. */
export async function waitUntilGone(pid: number, startTime: string, deadlineMs: number): Promise<boolean> {
  const end = performance.now() + deadlineMs;
  while ((await readStartTime(pid)) === startTime) {
    if (performance.now() > end) return false;
    await delay(10);
  }
  return true;
}
