/** The simulator: see README.md. It asks nothing of the host, and takes no room but two small files for each domain. */
import { appendFile } from "node:fs/promises";
import type { Readable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { XenoError } from "../../../cowfs/errors.ts";
import type { DomainSpecification, Hypervisor, HypervisorFeatures } from "../hypervisor.ts";
import { readImage, type SavedMemory } from "./memory-image.ts";
import { SimulatedDomain } from "./simulated-domain.ts";
import { consoleFile, type Machine, readMachine, removeMachine, writeMachine } from "./simulated-machine.ts";

export type SimulatorOperation = "create" | "restore" | "pause" | "unpause" | "save" | "migrate" | "destroy";

export interface SimulatorOptions {
  /** Two simulators with different ones do not take each other's images. */
  readonly platform?: string;
  readonly createMs?: number;
  readonly saveMs?: number;
  /** Of a memory image, beside its header. Default 256 KiB. */
  readonly imageBytes?: number;
  /** Called as each operation begins: it may throw, wait, or end the process. */
  onOperation?(operation: SimulatorOperation, domain: string): void | Promise<void>;
}

const features: HypervisorFeatures = {
  memoryResize: "balloon",
  cpuResize: "share",
  liveMigration: true,
  link: "tap",
};

export function createSimulator(options: SimulatorOptions = {}): Hypervisor {
  const own = options.platform ?? "simulator 1";

  async function start(specification: DomainSpecification, saved: SavedMemory | undefined, signal: AbortSignal) {
    const { name, directory, memoryMiB, cpus, cpu, commandLine } = specification;
    await delay(options.createMs ?? 0, undefined, { signal });
    const isDeaf = commandLine.includes("test.deaf");
    const { memory, reboots, isUp } = saved ?? { memory: {}, reboots: 0, isUp: false };
    const fixed = { format: 1, name, platform: own, cpus, isDeaf, ranMs: 0 } as const;
    const machine: Machine = { ...fixed, state: "paused", memoryMiB, cpu, memory, reboots, isUp };
    await appendFile(consoleFile(directory), "");
    await writeMachine(directory, machine);
    return new SimulatedDomain(machine, directory, options);
  }

  async function begin(operation: "create" | "restore", { name, directory }: DomainSpecification): Promise<void> {
    if ((await readMachine(directory)) !== undefined)
      throw new XenoError("domain-exists", `domain ${name} runs already`, { hint: "stop it first, or find it" });
    await options.onOperation?.(operation, name);
  }

  async function receive(
    specification: DomainSpecification,
    open: () => Promise<Readable>,
    platform: string,
    signal: AbortSignal,
  ) {
    if (platform !== own)
      throw new XenoError("platform-unsuited", `domain ${specification.name} was saved on "${platform}"`, {
        hint: `this host runs "${own}"`,
      });
    await begin("restore", specification);
    const saved = await readImage(await open());
    if (saved.memoryMiB !== specification.memoryMiB || saved.cpus !== specification.cpus)
      throw new XenoError("image-damaged", `domain ${specification.name}: the memory image is of another machine`);
    return await start(specification, saved, signal);
  }

  return {
    kind: "simulator",
    features,
    async create(specification, signal) {
      await begin("create", specification);
      return await start(specification, undefined, signal);
    },
    restore: (specification, image, platform, signal) => receive(specification, async () => image, platform, signal),
    receive,
    async find(_name, directory) {
      const machine = await readMachine(directory);
      return machine && new SimulatedDomain(machine, directory, options);
    },
  };
}

/** Kills the hypervisor's process of a simulated domain, as it were. */
export async function killSimulated(directory: string): Promise<void> {
  await removeMachine(directory);
}
