/**
 * Processor time of what runs in a network namespace: what a guest or a server costs, which other programs on the machine
 * change far less than how long it takes (proc(5), /proc/PID/stat).
 */
import { readFile } from "node:fs/promises";
import { listProcesses } from "../xenod/links/namespaces.ts";

/** USER_HZ, which is 100 on every x86 Linux. */
const tickMs = 10;

/** Of its processes that live, with what their ended children took. */
export async function readProcessorMs(namespace: string): Promise<number> {
  let ticks = 0;
  for (const pid of await listProcesses(namespace)) {
    const stat = await readFile(`/proc/${pid}/stat`, "latin1").catch(() => undefined);
    if (stat === undefined) continue;
    // Behind the program's name, which may hold spaces, the third field is first: utime, stime, cutime, cstime are 14 to 17.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    for (const field of fields.slice(11, 15)) ticks += Number(field);
  }
  return ticks * tickMs;
}
