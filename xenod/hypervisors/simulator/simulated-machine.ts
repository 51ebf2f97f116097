/**
 * The state of a simulated domain, in `<directory>/simulator.json`. It is all that there is of it: whoever deletes the file has
 * killed the hypervisor's process.
 */
import { appendFile, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import type { CpuShare } from "../../resources/cpu-group.ts";
import { SerialQueues } from "../../serial-queues.ts";
import { readStateFile, writeStateFile } from "../../state-file.ts";
import type { DomainState } from "../hypervisor.ts";

export interface Machine {
  readonly format: 1;
  readonly name: string;
  readonly platform: string;
  readonly cpus: number;
  state: DomainState;
  memoryMiB: number;
  cpu?: CpuShare;
  /** A guest that does not react to its power button. */
  readonly isDeaf: boolean;
  /** What the guest remembers: variables of its shell. */
  memory: { [name: string]: string };
  /** Resets so far. */
  reboots: number;
  /** Whether it has come up since it was last reset. */
  isUp: boolean;
  /** Ms since the epoch, while it runs; what it had run before then, in ms. */
  runningSince?: number;
  ranMs: number;
}

// biome-ignore lint/suspicious/noConfusingVoidType: most changes return nothing, and have changed something.
type Change = void | false;

/** Of one process: two that change a domain at once are a defect of theirs. */
const queues = new SerialQueues();

export function machineFile(directory: string): string {
  return join(directory, "simulator.json");
}

export function consoleFile(directory: string): string {
  return join(directory, "console.log");
}

export async function readMachine(directory: string): Promise<Machine | undefined> {
  return await readStateFile<Machine>(machineFile(directory), 1);
}

export async function writeMachine(directory: string, machine: Machine): Promise<void> {
  await writeStateFile(machineFile(directory), machine, false);
}

export async function removeMachine(directory: string): Promise<void> {
  await queues.run(directory, () => rm(machineFile(directory), { force: true }));
}

/** Changes it, one change after the other; undefined where there is none (any more). False: it was not changed. */
export function changeMachine(
  directory: string,
  change: (machine: Machine) => Change | Promise<Change>,
): Promise<Machine | undefined> {
  return queues.run(directory, async () => {
    const machine = await readMachine(directory);
    if (machine === undefined) return undefined;
    if ((await change(machine)) !== false) await writeMachine(directory, machine);
    return machine;
  });
}

export function setState(machine: Machine, state: DomainState): void {
  if (machine.runningSince !== undefined) machine.ranMs += Date.now() - machine.runningSince;
  machine.runningSince = state === "running" ? Date.now() : undefined;
  machine.state = state;
}

/** As its reset button would. */
export function reset(machine: Machine): void {
  machine.memory = {};
  machine.reboots++;
  machine.isUp = false;
}

/** A running guest that has not come up does so. */
export async function bootIfDue(directory: string, machine: Machine): Promise<void> {
  if (machine.state !== "running" || machine.isUp) return;
  machine.isUp = true;
  await print(directory, "guest is up\n");
}

export async function print(directory: string, text: string): Promise<void> {
  await appendFile(consoleFile(directory), text);
}

export async function readConsole(directory: string): Promise<string> {
  return await readFile(consoleFile(directory), "utf8").catch(() => "");
}
