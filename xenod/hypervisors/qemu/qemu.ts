/** The QEMU driver: see hypervisor.ts for what Xenod expects of it. */
import { connect, type Socket } from "node:net";
import { XenoError } from "../../../cowfs/errors.ts";
import type { Domain, DomainSpecification, Hypervisor, HypervisorFeatures } from "../hypervisor.ts";
import { type Accelerator, checkSpecification, composeCommand, describePlatform, domainFiles } from "./command-line.ts";
import { attach, QemuDomain } from "./qemu-domain.ts";
import { findQemu, killQemu, type OpenImage, removeFiles, startQemu } from "./qemu-process.ts";

export interface QemuOptions {
  readonly accelerator: Accelerator;
  /** Default: qemu-system-x86_64 from PATH. */
  readonly qemu?: string;
}

export const qemuFeatures: HypervisorFeatures = {
  memoryResize: "balloon",
  cpuResize: "share",
  liveMigration: true,
  link: "tap",
};

export function createQemuHypervisor({ accelerator, qemu = "qemu-system-x86_64" }: QemuOptions): Hypervisor {
  async function start(specification: DomainSpecification, image: OpenImage | undefined, signal: AbortSignal) {
    const { name, directory } = specification;
    checkSpecification(specification);
    if ((await findQemu(directory)) !== undefined) {
      throw new XenoError("domain-exists", `domain ${name} runs already`, { hint: "stop it first, or find it" });
    }
    const command = composeCommand(specification, accelerator, qemu, image !== undefined);
    const { process, control } = await startQemu(specification, command, image, signal);
    return new QemuDomain(name, directory, process, control);
  }

  /** The machine is made from the specification: one that differs from the image's is refused by QEMU. */
  async function receive(specification: DomainSpecification, open: OpenImage, platform: string, signal: AbortSignal) {
    const own = describePlatform(accelerator);
    if (platform !== own) {
      throw new XenoError("platform-unsuited", `domain ${specification.name} was saved on "${platform}"`, {
        hint: `this host runs "${own}": resume it on a host like that one`,
      });
    }
    return await start(specification, open, signal);
  }

  return {
    kind: "qemu",
    features: qemuFeatures,
    create: (specification, signal) => start(specification, undefined, signal),
    restore(specification, image, platform, signal) {
      // It may fail before it is read from: that is told then.
      image.on("error", () => {});
      return receive(specification, async () => image, platform, signal);
    },
    receive,
    async find(name: string, directory: string): Promise<Domain | undefined> {
      const process = await findQemu(directory);
      return process === undefined ? undefined : attach(name, directory, process);
    },
  };
}

/** Ends the QEMU of a domain that cannot be controlled any more (domain-busy). Settles once nothing of it is left. */
export async function destroyForcibly(directory: string): Promise<void> {
  const process = await findQemu(directory);
  if (process !== undefined) await killQemu(process);
  await removeFiles(directory);
}

/** Attaches to a guest's console, both ways; one at a time. What was printed before is in `<directory>/console.log`. */
export function openConsole(directory: string): Socket {
  return connect(domainFiles(directory).console);
}
