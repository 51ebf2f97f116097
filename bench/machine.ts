/** What a result depends on besides us; it is printed with every result. */
import os from "node:os";
import { execa } from "execa";
import { systemEnvironment } from "../xenod/system-path.ts";

export interface Machine {
  readonly processor: string;
  readonly cores: number;
  readonly memoryMiB: number;
  readonly kernel: string;
  readonly node: string;
  readonly qemu: string;
  /** Processes that wanted to run in the last minute, before the benchmark began: others share this machine. */
  readonly load: number;
}

export async function describeMachine(): Promise<Machine> {
  const { stdout } = await execa("qemu-system-x86_64", ["--version"], { env: systemEnvironment });
  const processors = os.cpus();
  return {
    processor: processors[0]?.model.trim() ?? "unknown",
    cores: processors.length,
    memoryMiB: Math.round(os.totalmem() / 2 ** 20),
    kernel: os.release(),
    node: process.versions.node,
    qemu: /version (\S+)/.exec(stdout)?.[1] ?? "unknown",
    load: Number(os.loadavg()[0].toFixed(2)),
  };
}

export function formatMachine({ processor, cores, memoryMiB, kernel, node, qemu, load }: Machine): string {
  const memory = `${(memoryMiB / 1024).toFixed(0)} GiB`;
  return `${cores} cores (${processor}), ${memory}, Linux ${kernel}, QEMU ${qemu}, Node ${node}, load ${load} before`;
}
