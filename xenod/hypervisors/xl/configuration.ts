/**
 * A domain's configuration as xl reads it (xl.cfg(5)), made from the specification each time: nothing in it comes from an image.
 *
 * It is kept in the domain's directory, since a guest that resets itself is made anew from it. Domains are told apart by a UUID made
 * of their directory; the name holds a part of it, so that two XenoServers of a host may have a domain of one name.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { XenoError } from "../../../cowfs/errors.ts";
import type { CpuShare } from "../../resources/cpu-group.ts";
import type { DomainSpecification } from "../hypervisor.ts";

/** The files of a domain in its directory. */
export function domainFiles(directory: string) {
  return {
    /** What it was built from, for Xenod; and the same for xl. */
    specification: join(directory, "xl.json"),
    configuration: join(directory, "xl.cfg"),
    consoleLog: join(directory, "console.log"),
    /** What xl complained of. */
    log: join(directory, "xl.log"),
    /** The process that holds a domain whose memory was sent: see holder.ts. */
    holder: join(directory, "xl-migrate.pid"),
  };
}

export interface Identity {
  /** On this Xen host. */
  readonly name: string;
  readonly uuid: string;
}

export function identify(name: string, directory: string): Identity {
  const digest = createHash("sha256").update(directory).digest("hex");
  const parts = [digest.slice(0, 8), digest.slice(8, 12), `8${digest.slice(13, 16)}`, `8${digest.slice(17, 20)}`];
  return { name: `xeno-${name}-${digest.slice(0, 8)}`, uuid: [...parts, digest.slice(20, 32)].join("-") };
}

/** `xl info` says of what types a host can have guests; PVH ones need what it calls `hvm`. */
export type GuestType = "pvh" | "pv";

/** Goes before what the deployment says. Without it a panic ends in a triple fault, which Xen takes for a reset. */
const kernelOptions = "xen_legacy_crash ";

const vifScript = join(import.meta.dirname, "vif-script.sh");

/**
 * A guest that ends stays, dead, until some Xenod has read why (H2); one that resets itself stays too, and is made anew by Xenod, of the
 * type that it has.
 */
export function composeConfiguration(specification: DomainSpecification, type: GuestType): string {
  const { name, directory, memoryMiB, cpus, cpu, kernel, initramfs, commandLine, link } = specification;
  const identity = identify(name, directory);
  const vif = `mac=${link.mac},bridge=${link.namespace},script=${vifScript}`;
  const settings: Record<string, string | number | readonly string[]> = {
    name: identity.name,
    uuid: identity.uuid,
    type,
    kernel,
    ramdisk: initramfs,
    cmdline: kernelOptions + commandLine.replaceAll("console=ttyS0", "console=hvc0"),
    memory: memoryMiB,
    maxmem: memoryMiB,
    vcpus: cpus,
    vif: [vif],
    ...(cpu === undefined ? {} : { cpu_weight: weigh(cpu), cap: cap(cpu) }),
    on_poweroff: "preserve",
    on_reboot: "preserve",
    on_crash: "preserve",
    on_watchdog: "preserve",
    on_soft_reset: "preserve",
  };
  return Object.entries(settings)
    .map(([key, value]) => `${key} = ${formatValue(value)}\n`)
    .join("");
}

/** xl's parser knows no escape for a quotation mark that it begins with, so the other kind encloses it. */
function formatValue(value: string | number | readonly string[]): string {
  if (typeof value === "number") return String(value);
  if (typeof value !== "string") return `[ ${value.map(formatValue).join(", ")} ]`;
  return `"${value.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}

/** credit2's weight: 256 for each CPU that is promised (xl(1), sched-credit2). */
export function weigh({ meanMsPerSecond }: CpuShare): number {
  return Math.min(65_535, Math.max(1, Math.round((meanMsPerSecond * 256) / 1000)));
}

/** credit2's cap: percent of one CPU, 0 for none. */
export function cap({ peakMsPerSecond }: CpuShare): number {
  return Math.max(1, Math.round(peakMsPerSecond / 10));
}

/** Refuses what Xen or the kernel would read differently than it was meant. Throws `domain-invalid`. */
export function checkSpecification(specification: DomainSpecification): void {
  const { name, memoryMiB, cpus, commandLine, directory, kernel, initramfs } = specification;
  const refuse = (message: string, hint: string) => {
    throw new XenoError("domain-invalid", `domain ${name}: ${message}`, { hint });
  };
  if (!/^[a-z0-9-]{1,40}$/.test(name)) refuse("is no valid name", "use up to 40 of a-z, 0-9 and -");
  if (!Number.isInteger(memoryMiB) || memoryMiB < 64 || memoryMiB > 1_048_576)
    refuse(`${memoryMiB} MiB of memory`, "64 to 1048576");
  if (!Number.isInteger(cpus) || cpus < 1 || cpus > 64) refuse(`${cpus} CPUs`, "1 to 64");
  // COMMAND_LINE_SIZE of x86 is 2048; the kernel cuts what is longer.
  if (commandLine.length > 2000 || /[\0\n]/.test(commandLine))
    refuse("the kernel's command line is too long or holds a line end", "2000 characters in one line");
  for (const path of [directory, kernel, initramfs])
    if (/\p{Cc}/u.test(path)) refuse(`the path ${JSON.stringify(path)} holds a control character`, "choose another");
}
