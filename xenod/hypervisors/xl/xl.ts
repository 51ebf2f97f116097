/** The driver of Xen: see hypervisor.ts for what Xenod expects of it, and README.md for what it expects of the host. */
import type { Readable } from "node:stream";
import { XenoError } from "../../../cowfs/errors.ts";
import type { Domain, DomainSpecification, Hypervisor, HypervisorFeatures } from "../hypervisor.ts";
import { checkSpecification, domainFiles, identify } from "./configuration.ts";
import { noteBuilt, prepareFiles, readSpecification, recordsDirectory, removeFiles } from "./domain-files.ts";
import { DomainTable } from "./domain-table.ts";
import { restoreMemory } from "./move-memory.ts";
import { describePlatform, readHostInfo } from "./platform.ts";
import { type RunXl, runXl } from "./run-xl.ts";
import { XlDomain } from "./xl-domain.ts";

export const xlFeatures: HypervisorFeatures = {
  memoryResize: "balloon",
  cpuResize: "share",
  liveMigration: true,
  link: "bridge",
};

export interface XlOptions {
  /** Default: xl itself. */
  readonly run?: RunXl;
  /** Where xenconsoled records what guests print. */
  readonly recordsDirectory?: string;
}

export function createXlHypervisor(options: XlOptions = {}): Hypervisor {
  const { run = runXl } = options;
  const tools = { run, table: new DomainTable(run), records: options.recordsDirectory ?? recordsDirectory };
  const { table, records } = tools;

  /** `build` makes the domain, paused, from the configuration that lies in its directory. */
  async function start(specification: DomainSpecification, build: () => Promise<unknown>): Promise<Domain> {
    const { name, directory } = specification;
    checkSpecification(specification);
    const identity = identify(name, directory);
    if ((await table.find(identity.uuid)) !== undefined) {
      if ((await readSpecification(directory)) !== undefined)
        throw new XenoError("domain-exists", `domain ${name} runs already`, { hint: "stop it first, or find it" });
      await destroyForcibly(name, directory, options);
    }
    try {
      await prepareFiles(specification, records);
      await build();
      await noteBuilt(specification);
      return new XlDomain(specification, tools);
    } catch (error) {
      await destroyForcibly(name, directory, options);
      throw error;
    }
  }

  async function receive(
    specification: DomainSpecification,
    open: () => Promise<Readable>,
    platform: string,
    signal: AbortSignal,
  ) {
    const own = await describePlatform();
    if (platform !== own)
      throw new XenoError("platform-unsuited", `domain ${specification.name} was saved on "${platform}"`, {
        hint: `this host runs "${own}": resume it on a host like that one`,
      });
    return await start(specification, async () => {
      const image = await open();
      // It may fail before it is read from: that is told then.
      image.on("error", () => {});
      await restoreMemory(specification, image, signal);
    });
  }

  return {
    kind: "xl",
    features: xlFeatures,
    create: (specification, signal) =>
      start(specification, () => {
        const { configuration } = domainFiles(specification.directory);
        // -e: no process of xl's stays to watch it (X2).
        const purpose = `creating domain ${specification.name}`;
        return run(["create", "-p", "-e", configuration], { purpose, signal });
      }),
    restore(specification, image, platform, signal) {
      image.on("error", () => {});
      return receive(specification, async () => image, platform, signal);
    },
    receive,
    async find(name, directory) {
      const { uuid } = identify(name, directory);
      if ((await table.find(uuid)) === undefined) return undefined;
      const specification = await readSpecification(directory);
      // (F1)
      if (specification === undefined) return void (await destroyForcibly(name, directory, options));
      return new XlDomain(specification, tools);
    },
    async memory() {
      const { totalMiB, freeMiB } = await readHostInfo();
      return { totalMiB, freeMiB };
    },
  };
}

/** Ends the domain of this directory, however half built. Settles once nothing of it is left. */
export async function destroyForcibly(
  name: string,
  directory: string,
  { run = runXl, recordsDirectory: records = recordsDirectory }: XlOptions = {},
): Promise<void> {
  const table = new DomainTable(run);
  const identity = identify(name, directory);
  for (let tries = 0; tries < 20; tries++) {
    const left = await table.find(identity.uuid);
    if (left === undefined) return await removeFiles(name, directory, records);
    await run(["destroy", String(left.id)], { purpose: `removing domain ${name}` }).catch(() => {});
  }
  throw new XenoError("domain-undead", `domain ${name} does not end`, { hint: "see xl list, and xl dmesg" });
}
