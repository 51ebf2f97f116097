/**
 * One Xen host: a QEMU that emulates a machine with AMD's virtualization, in which Debian's Xen 4.17 runs real guests. Which
 * host it is, dom0 is told once it is up (dom0-join.sh).
 *
 * Four settings without which it crashes or corrupts: no SMAP and SMEP (dom0 page-faults at once), `spec-ctrl=eager-fpu` (lazy FPU
 * switching goes wrong under TCG), no RDTSCP (PVH guests crash), and the links in dom0-init.sh.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { open, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { XenoError } from "../../cowfs/errors.ts";
import { QmpClient } from "../../xenod/hypervisors/qemu/qmp.ts";
import { sourcesMiB } from "./checkout-disks.ts";
import { type LabImages, packInitramfs } from "./images.ts";

export interface XenHostStart {
  /** Names its files in the lab's directory; `a` or `b`. */
  readonly name: string;
  /** 1 or 2: its place on the link between the two. */
  readonly number: number;
  readonly images: LabImages;
  /** dom0's disk, and its memory where it was booted before: see booted-dom0.ts. */
  readonly disk: string;
  readonly memory?: string;
  /** Our own files, which run in dom0 as /project: see checkout-disks.ts. */
  readonly sources: string;
  /** Shared by the hosts and whoever drives them, as /lab. */
  readonly directory: string;
  /** It ends when the process that started it does, however that ends. */
  readonly isTied?: boolean;
  /** dom0's, as a script. Default: dom0-init.sh. */
  readonly firstProcess?: string;
}

/** A busy machine is slow. */
const qmpDeadlineMs = 120_000;
export const labHostNames = ["a", "b"];
/** Of dom0, and left for guests. */
const dom0MiB = 832;
const hostMiB = 1_408;
export const apiPortInside = 7600;

export function xenHostFiles(directory: string, name: string) {
  return {
    console: join(directory, `${name}-console.log`),
    shell: join(directory, `${name}.sock`),
    control: join(directory, `${name}-qmp.sock`),
    xenodLog: join(directory, `${name}-xenod.log`),
    complaints: join(directory, `${name}-qemu.log`),
    initramfs: join(directory, `${name}-initramfs.cpio`),
    link: join(directory, `${name}-link.sock`),
  };
}

/** On the link between the hosts. */
export function linkAddress(number: number): string {
  return `10.99.0.${number}`;
}

/** Told to dom0: the device has another, which its memory was kept with. */
export function linkMac(number: number): string {
  return `02:78:65:6e:02:0${number}`;
}

/** The process is a group of its own, and goes on when this one ends, unless it is tied. */
export async function startXenHost(start: XenHostStart): Promise<ChildProcess> {
  const files = xenHostFiles(start.directory, start.name);
  for (const file of Object.values(files)) await rm(file, { force: true });
  await writeFile(files.initramfs, await packInitramfs(start.images, start.firstProcess));
  const complaints = await open(files.complaints, "w", 0o600);
  try {
    const tie = start.isTied ? ["setpriv", "--pdeathsig", "KILL"] : [];
    const [command, ...options] = [...tie, "qemu-system-x86_64", ...composeOptions(start)];
    const child = spawn(command, options, {
      stdio: ["ignore", complaints.fd, complaints.fd],
      detached: true,
    });
    await new Promise<void>((resolve, reject) => {
      child.once("spawn", resolve);
      child.once("error", (cause) =>
        reject(
          new XenoError("xen-lab-not-started", `QEMU does not start: ${cause.message}`, {
            hint: "install Debian's qemu-system-x86",
            cause,
          }),
        ),
      );
    });
    return child;
  } finally {
    await complaints.close();
  }
}

/** ERMS is emulated byte by byte, and kernels clear pages by it. AVX is emulated in calls, and libc copies by it. */
const cpu = "max,-smap,-smep,-rdtscp,-erms,-avx,-avx2,-fma,-f16c";
/**
 * Time within passes with the instructions that are run, 4 ns each. Else a busy machine leaves its guests time for little but the 250
 * ticks a second of each kernel, which are dear: each flushes QEMU's TLB several times.
 */
const emulation = ["-accel", "tcg,thread=single", "-icount", "shift=2", "-cpu", cpu];
/** What QEMU has translated of a program counts for all processes that have it at the same addresses. */
const kernelWords = [
  ...[
    "console=hvc0",
    "loglevel=4",
    "mitigations=off",
    "norandmaps",
    "cryptomgr.notests",
    "random.trust_cpu=on",
    "net.ifnames=0",
  ],
  "panic=-1",
];
const xenWords = [
  ...[`dom0_mem=${dom0MiB}M,max:${dom0MiB}M`, "console=com1", "com1=115200,8n1", "spec-ctrl=no,eager-fpu"],
  ...["bootscrub=off", "noreboot"],
];

function composeOptions(start: XenHostStart): string[] {
  const { name, number, images, sources, directory } = start;
  const files = xenHostFiles(directory, name);
  const other = xenHostFiles(directory, labHostNames[2 - number]);
  const disk = (id: string, path: string, options: string) => [
    ...["-drive", `file=${escapeValue(path)},if=none,id=${id},${options}`],
    ...["-device", `virtio-blk-pci,drive=${id}`],
  ];
  const socket = (id: string, path: string) => [
    "-chardev",
    `socket,id=${id},path=${escapeValue(path)},server=on,wait=off`,
  ];
  return [
    ...["-name", `xen-lab-${name}`, ...emulation],
    ...["-smp", "1", "-m", `${hostMiB}M`, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
    ...["-serial", `file:${files.console}`],
    ...[...socket("control", files.control), "-mon", "chardev=control,mode=control"],
    ...["-kernel", images.xen, "-append", xenWords.join(" ")],
    ...["-initrd", `${escapeValue([images.kernel, ...kernelWords].join(" "))},${escapeValue(files.initramfs)}`],
    ...disk("root", start.disk, start.memory === undefined ? "format=qcow2" : "format=qcow2,snapshot=on"),
    ...disk("sources", sources, "format=raw,readonly=on"),
    ...disk("packages", images.packages, "format=raw,readonly=on"),
    ...["-netdev", `user,id=api,hostfwd=tcp:127.0.0.1:0-:${apiPortInside}`],
    ...["-device", "virtio-net-pci,netdev=api,romfile="],
    ...["-netdev", `dgram,id=link,${unixEnd("local", files.link)},${unixEnd("remote", other.link)}`],
    ...["-device", `virtio-net-pci,netdev=link,mac=${linkMac(1)},romfile=`],
    ...["-fsdev", `local,id=lab,path=${escapeValue(directory)},security_model=none`],
    ...["-device", "virtio-9p-pci,fsdev=lab,mount_tag=lab"],
    ...["-device", "virtio-serial-pci", ...socket("shell", files.shell)],
    ...["-device", "virtserialport,chardev=shell,name=shell"],
    ...(start.memory === undefined ? [] : ["-incoming", `exec:cat '${start.memory}'`]),
  ];
}

function unixEnd(end: "local" | "remote", path: string): string {
  return `${end}.type=unix,${end}.path=${escapeValue(path)}`;
}

/** The port of this machine's 127.0.0.1 that leads to the API's in dom0: the kernel chose a free one. */
export async function findApiPort(control: string): Promise<number> {
  const qmp = await QmpClient.connect(control, qmpDeadlineMs);
  try {
    const options = { "command-line": "info usernet" };
    const table = String(await qmp.execute("human-monitor-command", options, qmpDeadlineMs));
    // Protocol[State], file descriptor, source address and port, destination address and port.
    const [, port] = /TCP\[HOST_FORWARD\] +\d+ +127\.0\.0\.1 +(\d+) /.exec(table) ?? [];
    if (port === undefined) throw new XenoError("xen-lab-not-started", `QEMU forwards no port: ${table}`);
    return Number(port);
  } finally {
    qmp.close();
  }
}

/** What QEMUs must have alike, for one to go on with what another kept. */
export function describeHosts(): string {
  return JSON.stringify([emulation, dom0MiB, hostMiB, kernelWords, xenWords, sourcesMiB]);
}

/** QEMU's option syntax: a comma ends a value, two of them are one. */
function escapeValue(value: string): string {
  return value.replaceAll(",", ",,");
}
