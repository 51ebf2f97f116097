/** The QEMU driver: see hypervisor.ts for what Xenod expects of it. */
import { connect, type Socket } from "node:net";
import { XenoError } from "../../../cowfs/errors.ts";
import type { Domain, DomainSpecification, Hypervisor } from "../hypervisor.ts";
import { type Accelerator, checkSpecification, composeCommand, domainFiles } from "./command-line.ts";
import { attach, QemuDomain } from "./qemu-domain.ts";
import { findQemu, killQemu, removeFiles, startQemu } from "./qemu-process.ts";

export interface QemuOptions {
  readonly accelerator: Accelerator;
  /** Default: qemu-system-x86_64 from PATH. */
  readonly qemu?: string;
}

export function createQemuHypervisor({ accelerator, qemu = "qemu-system-x86_64" }: QemuOptions): Hypervisor {
  return {
    kind: "qemu",
    async create(specification: DomainSpecification, signal: AbortSignal): Promise<Domain> {
      const { name, directory } = specification;
      checkSpecification(specification);
      if ((await findQemu(directory)) !== undefined) {
        throw new XenoError("domain-exists", `domain ${name} runs already`, { hint: "stop it first, or find it" });
      }
      const { process, control } = await startQemu(
        specification,
        composeCommand(specification, accelerator, qemu),
        signal,
      );
      return new QemuDomain(name, directory, process, control);
    },
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
