/**
 * The command line of a guest's QEMU.
 *
 * The machine is pinned (type, CPU model), so that a guest's memory can move between hosts, and bare: no default devices,
 * no display, no configuration files. QEMU starts as root to open the tap and the sockets, and before a guest's first instruction
 * it is an unprivileged user of this domain's own, in an empty root directory, unable to start programs (-sandbox).
 *
 * Measured under TCG on 2 cores, from start to the end of an initramfs that loads its modules (best of 4): bzImage with
 * SeaBIOS on pc 2.5 s; uncompressed kernel 2.2 s; on q35 2.1 s; with qboot 2.0 s; microvm 1.9 s, but it has no versions that
 * stay compatible. From there on, what counts is how fast Debian's own init runs: 14.5 s of CPU time to the login prompt,
 * 11 s without the kernel's mitigations.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { XenoError } from "../../../cowfs/errors.ts";
import { namespacePath } from "../../links/namespaces.ts";
import type { DomainSpecification } from "../hypervisor.ts";

export type Accelerator = "kvm" | "tcg";

/** The files of a domain's QEMU in the domain's directory. */
export function domainFiles(directory: string) {
  return {
    control: join(directory, "qmp.sock"),
    console: join(directory, "console.sock"),
    consoleLog: join(directory, "console.log"),
    processId: join(directory, "qemu.pid"),
    /** QEMU's own complaints. */
    log: join(directory, "qemu.log"),
    emptyRoot: join(directory, "empty"),
  };
}

export const machineType = "pc-q35-7.2";

const accelerators: Record<Accelerator, string> = {
  kvm: "kvm",
  // Translated code may take up to 1 GiB, unless told. 256 MiB hold a booted Debian.
  tcg: "tcg,thread=multi,tb-size=256",
};

/**
 * Goes before what the deployment says, which therefore wins. TCG runs nothing speculatively, so there is nothing to mitigate,
 * and page-table isolation costs a flush of its translation cache at each system call. On a busy host the guest's test of
 * its timer comes too late, and it panics ("IO-APIC + timer doesn't work"): the test is left out, as Linux does under KVM.
 */
const kernelOptions: Record<Accelerator, string> = { kvm: "", tcg: "mitigations=off no_timer_check " };

/**
 * Haswell is the oldest server that hosts of today have; what a host lacks is masked. Under TCG a model without AVX spares
 * context switches its registers, and RDRAND spares the wait for the kernel's random numbers.
 */
export const cpuModels: Record<Accelerator, string> = { kvm: "Haswell-v2", tcg: "Nehalem-v1,+rdrand" };

/**
 * A file that QEMU writes can grow to this many bytes: the console is recorded by QEMU itself, so that it is complete while
 * Xenod is away, and a guest may print for ever. console-log.ts keeps the record far below.
 */
export const maxFileBytes = 16 * 1024 * 1024;

/** The descriptor from which a QEMU that restores reads its memory. */
export const imageDescriptor = 3;

/** What a memory image needs of a host: the machine, as it is pinned here. */
export function describePlatform(accelerator: Accelerator): string {
  return `qemu ${accelerator} ${machineType} ${cpuModels[accelerator]}`;
}

/** `restores`: the memory comes through `imageDescriptor`. */
export function composeCommand(
  specification: DomainSpecification,
  accelerator: Accelerator,
  qemu: string,
  restores: boolean,
): string[] {
  const { name, cpus, memoryMiB, kernel, initramfs, commandLine, link } = specification;
  const files = domainFiles(specification.directory);
  const user = chooseUser(name);
  const paths = Object.fromEntries(Object.entries(files).map(([key, path]) => [key, escapeValue(path)]));
  return [
    ...["nsenter", `--net=${namespacePath(link.namespace)}`],
    // At the file size limit, writing fails and the guest goes on, in place of the signal's ending both.
    ...["env", "--ignore-signal=SIGXFSZ", "prlimit", `--fsize=${maxFileBytes}`, "--core=0"],
    ...["setpriv", "--no-new-privs", qemu],
    ...["-name", `guest=${name},debug-threads=on`],
    ...["-machine", `${machineType},usb=off,vmport=off,hpet=off`, "-cpu", cpuModels[accelerator]],
    ...["-accel", accelerators[accelerator]],
    ...["-smp", String(cpus), "-m", `${memoryMiB}M`],
    ...["-nodefaults", "-no-user-config", "-display", "none", "-bios", "qboot.rom"],
    ...["-kernel", kernel, "-initrd", initramfs, "-append", kernelOptions[accelerator] + commandLine],
    // It stays, stopped, when the guest powers off or panics, until Xenod has seen which of the two it was.
    ...["-S", "-no-shutdown", "-action", "reboot=reset,panic=pause"],
    ...[
      "-chardev",
      `socket,id=control,path=${paths.control},server=on,wait=off`,
      "-mon",
      "chardev=control,mode=control",
    ],
    ...[
      "-chardev",
      `socket,id=console,path=${paths.console},server=on,wait=off,logfile=${paths.consoleLog},logappend=on`,
    ],
    ...["-serial", "chardev:console"],
    ...["-netdev", `tap,id=link,ifname=${link.tap},script=no,downscript=no,vnet_hdr=on`],
    ...["-device", `virtio-net-pci,netdev=link,mac=${link.mac},romfile=`],
    ...["-device", "pvpanic-pci"],
    // A guest with the driver tells which pages it does not use: they take no room here, and none in a memory image.
    ...["-device", "virtio-balloon-pci,id=balloon,free-page-reporting=on,deflate-on-oom=on"],
    ...(restores ? ["-incoming", `fd:${imageDescriptor}`] : []),
    ...["-pidfile", files.processId],
    ...["-runas", `${user}:${user}`, "-chroot", files.emptyRoot],
    // elevateprivileges=deny would also deny -runas; without it, an unprivileged user that cannot run programs gains nothing.
    ...["-sandbox", "on,obsolete=deny,spawn=deny,resourcecontrol=deny"],
  ];
}

/** QEMU's option syntax: a comma ends a value, two of them are one. */
function escapeValue(value: string): string {
  return value.replaceAll(",", ",,");
}

/** One user per domain, so that a guest which broke out of one QEMU cannot touch another; none of them is in passwd(5). */
function chooseUser(name: string): number {
  return 1_900_000_000 + (createHash("sha256").update(name).digest().readUInt32BE(0) % 200_000_000);
}

/** Refuses what the kernel or QEMU would read differently than it was meant. */
export function checkSpecification({ name, memoryMiB, cpus, commandLine }: DomainSpecification): void {
  const refuse = (message: string, hint: string) => {
    throw new XenoError("domain-invalid", `domain ${name}: ${message}`, { hint });
  };
  if (!/^[a-z0-9-]{1,40}$/.test(name)) refuse("is no valid name", "use up to 40 of a-z, 0-9 and -");
  if (!Number.isInteger(memoryMiB) || memoryMiB < 64 || memoryMiB > 1_048_576)
    refuse(`${memoryMiB} MiB of memory`, "64 to 1048576");
  if (!Number.isInteger(cpus) || cpus < 1 || cpus > 64) refuse(`${cpus} CPUs`, "1 to 64");
  // COMMAND_LINE_SIZE of x86 is 2048, with what is put before; the kernel cuts what is longer.
  if (commandLine.length > 2000 || /[\0\n]/.test(commandLine))
    refuse("the kernel's command line is too long or holds a line end", "2000 characters in one line");
}
