/** The driver of Xen: see hypervisor.ts for what Xenod expects of it, and README.md for what it expects of the host. */
import type { Readable } from "node:stream";
import { XenoError } from "../../../cowfs/errors.ts";
import { systemEnvironment } from "../../system-path.ts";
import type { Domain, DomainSpecification, Hypervisor, HypervisorFeatures } from "../hypervisor.ts";
import { checkSpecification, domainFiles, type GuestType, identify } from "./configuration.ts";
import { noteBuilt, prepareFiles, readBuilt, recordsDirectory, removeFiles } from "./domain-files.ts";
import { DomainTable } from "./domain-table.ts";
import { restoreMemory } from "./move-memory.ts";
import { describePlatform, readHostInfo, requireGuestType } from "./platform.ts";
import { type RunXl, runXl } from "./run-xl.ts";
import { XlDomain, type XlTools } from "./xl-domain.ts";

const xlFeatures: HypervisorFeatures = {
  memoryResize: "balloon",
  cpuResize: "share",
  liveMigration: true,
  link: "bridge",
};

export interface XlOptions {
  /** Of what type the guests are that it makes. Default: `pvh`. */
  readonly guests?: GuestType;
  /** Default: xl itself. */
  readonly run?: RunXl;
  /** In which xl and xenstore's tools are found. */
  readonly environment?: NodeJS.ProcessEnv;
  /** Where xenconsoled records what guests print. */
  readonly recordsDirectory?: string;
}

export function createXlHypervisor(options: XlOptions = {}): Hypervisor {
  const tools = describeTools(options);
  const { run, environment, table, records } = tools;
  const { guests: type = "pvh" } = options;

  /** `build` makes the domain, paused, from the configuration that lies in its directory. */
  async function start(specification: DomainSpecification, build: () => Promise<unknown>): Promise<Domain> {
    const { name, directory } = specification;
    checkSpecification(specification);
    const identity = identify(name, directory);
    const built = { specification, type };
    if ((await table.find(identity.uuid)) !== undefined) {
      if ((await readBuilt(directory)) !== undefined)
        throw new XenoError("domain-exists", `domain ${name} runs already`, { hint: "stop it first, or find it" });
      await destroyForcibly(name, directory, options);
    }
    try {
      await prepareFiles(built, records);
      await build();
      await noteBuilt(built);
      return new XlDomain(built, tools);
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
    const own = await describePlatform(run, type);
    if (platform !== own)
      throw new XenoError("platform-unsuited", `domain ${specification.name} was saved on "${platform}"`, {
        hint: `this host runs "${own}": resume it on a host like that one`,
      });
    return await start(specification, async () => {
      const image = await open();
      // It may fail before it is read from: that is told then.
      image.on("error", () => {});
      await restoreMemory(specification, image, environment, signal);
    });
  }

  return {
    kind: "xl",
    // Debian's Xen has no shadow paging, without which a PV guest's memory cannot be sent while it runs.
    features: { ...xlFeatures, liveMigration: type === "pvh" },
    create: (specification, signal) =>
      start(specification, async () => {
        await requireGuestType(run, type);
        const { configuration } = domainFiles(specification.directory);
        // -e: no process of xl's stays to watch it (X2).
        const purpose = `creating domain ${specification.name}`;
        await run(["create", "-p", "-e", configuration], { purpose, signal });
      }),
    restore(specification, image, platform, signal) {
      image.on("error", () => {});
      return receive(specification, async () => image, platform, signal);
    },
    receive,
    async find(name, directory) {
      const { uuid } = identify(name, directory);
      if ((await table.find(uuid)) === undefined) return undefined;
      const built = await readBuilt(directory);
      // (F1)
      if (built === undefined) return void (await destroyForcibly(name, directory, options));
      return new XlDomain(built, tools);
    },
    async memory() {
      const { totalMiB, freeMiB } = await readHostInfo(run);
      return { totalMiB, freeMiB };
    },
  };
}

function describeTools({ environment = systemEnvironment, ...options }: XlOptions): XlTools {
  const run: RunXl = options.run ?? ((xl, how) => runXl(xl, { environment, ...how }));
  const records = options.recordsDirectory ?? recordsDirectory;
  return { run, environment, table: new DomainTable(run, environment), records };
}

/** Ends the domain of this directory, however half built. Settles once nothing of it is left. */
export async function destroyForcibly(name: string, directory: string, options: XlOptions = {}): Promise<void> {
  const { run, table, records } = describeTools(options);
  const identity = identify(name, directory);
  for (let tries = 0; tries < 20; tries++) {
    const left = await table.find(identity.uuid);
    if (left === undefined) return await removeFiles(name, directory, records);
    await run(["destroy", String(left.id)], { purpose: `removing domain ${name}` }).catch(() => {});
  }
  throw new XenoError("domain-undead", `domain ${name} does not end`, { hint: "see xl list, and xl dmesg" });
}
