/**
 * Builds a kernel template: Debian's kernel and an initramfs of ours that mounts the guest's root over NFS.
 *
 * The result is a directory that is the same, byte by byte, for the same package and the same busybox:
 *
 *     vmlinux          the uncompressed kernel, entered by PVH (QEMU's -kernel, Xen's kernel=)
 *     initramfs.cpio   uncompressed: the store compresses it, and a guest under TCG is spared the work
 *     config.json      KernelConfiguration
 *
 * The guest's root gets no /lib/modules: the initramfs loads what booting needs, and a guest that wants more installs
 * the kernel package of this version (config.json names it) into its overlay.
 */
import { randomUUID } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { execa } from "execa";
import { XenoError } from "../../cowfs/errors.ts";
import { type ArchiveEntry, writeArchive } from "./archive.ts";
import { fetchKernelPackage } from "./fetch-package.ts";
import { resolveModules } from "./modules.ts";
import { extractKernel } from "./uncompressed-kernel.ts";

/** config.json of a kernel template, format 1. */
export interface KernelConfiguration {
  readonly format: 1;
  /** As uname(1) -r says it. */
  readonly version: string;
  readonly package: string;
  /** File names within the template. */
  readonly kernel: string;
  readonly initramfs: string;
  /** What every guest's command line begins with; `xeno.` settings follow (init.sh lists them). */
  readonly commandLine: string;
}

export interface KernelBuild {
  /** A Debian package, or the file of one (*.deb). Default: linux-image-cloud-amd64. */
  readonly package?: string;
  /** Is made; must not exist or be empty. */
  readonly outputDirectory: string;
  readonly signal: AbortSignal;
  readonly onProgress?: (step: string) => void;
  /** A statically linked busybox. Default: that of Debian's busybox-static. */
  readonly busybox?: string;
}

/** Loaded in this order by init.sh, by lists of these names. */
const moduleLists = {
  // pvpanic tells the hypervisor of a panic; button and evdev let init hear that the power button was pressed; the balloon gives
  // back what the guest does not use.
  virtio: ["virtio_pci", "pvpanic_pci", "virtio_net", "virtio_balloon", "button", "evdev"],
  xen: ["xen_netfront"],
  // Not autofs4, though systemd says that it misses it: with it, systemd tries in vain to mount what needs further modules.
  root: ["nfsv3"],
} as const;

/**
 * Measured under TCG (2 cores): cryptomgr.notests spares 0.25 s of 2.1 s to the root's mount; the rest spare probing for devices that
 * are not there. net.ifnames=0 keeps udev from renaming the interface that the root hangs on. panic=-1 ends a panic
 * where no hypervisor is told of it.
 */
const commandLine =
  "console=ttyS0 quiet panic=-1 net.ifnames=0 cryptomgr.notests random.trust_cpu=on " +
  "i8042.noaux i8042.nokbd 8250.nr_uarts=1";

export async function buildKernel(build: KernelBuild): Promise<KernelConfiguration> {
  const { signal, onProgress = () => {} } = build;
  const scratch = await mkdtemp(join(tmpdir(), "xeno-kernel-"));
  try {
    const name = build.package ?? "linux-image-cloud-amd64";
    onProgress(`fetching ${name}`);
    const file = name.endsWith(".deb") ? name : await fetchKernelPackage(name, scratch, signal);
    onProgress(`unpacking ${basename(file)}`);
    const root = join(scratch, "root");
    await execa("dpkg-deb", ["-x", file, root], { cancelSignal: signal });
    const version = await findVersion(root, file);
    const kernel = await extractKernel(await readFile(join(root, "boot", `vmlinuz-${version}`)), signal);
    onProgress("packing the initramfs");
    const busybox = await readBusybox(build.busybox ?? "/usr/bin/busybox");
    const initramfs = await packInitramfs(join(root, "lib/modules", version), busybox);
    const configuration: KernelConfiguration = {
      format: 1,
      version,
      package: basename(file).split("_").slice(0, 2).join(" "),
      kernel: "vmlinux",
      initramfs: "initramfs.cpio",
      commandLine,
    };
    signal.throwIfAborted();
    await publish(build.outputDirectory, {
      [configuration.kernel]: kernel,
      [configuration.initramfs]: initramfs,
      "config.json": Buffer.from(`${JSON.stringify(configuration, null, 2)}\n`),
    });
    return configuration;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function findVersion(root: string, file: string): Promise<string> {
  const versions = await readdir(join(root, "lib/modules")).catch(() => []);
  if (versions.length === 1) return versions[0];
  throw new XenoError("kernel-package-unknown", `${file} holds ${versions.length} kernels, not one`, {
    hint: "give a package such as linux-image-6.1.0-NN-cloud-amd64",
  });
}

async function readBusybox(path: string): Promise<Buffer> {
  const missing = (cause?: unknown) =>
    new XenoError("busybox-missing", `${path} is not a statically linked busybox`, {
      hint: "install Debian's busybox-static",
      cause,
    });
  const busybox = await readFile(path).catch((cause) => {
    throw missing(cause);
  });
  // A dynamically linked program names its loader; in the initramfs there is none.
  if (busybox.includes("/ld-linux")) throw missing();
  return busybox;
}

async function packInitramfs(modulesDirectory: string, busybox: Buffer): Promise<Buffer> {
  const init = await readFile(new URL("init.sh", import.meta.url));
  const entries: ArchiveEntry[] = ["bin", "dev", "modules", "proc", "root", "sys"].map((path) => ({
    path,
    kind: "directory",
  }));
  entries.push(
    { path: "dev/console", kind: "character", major: 5, minor: 1 },
    { path: "bin/busybox", kind: "file", mode: 0o755, data: busybox },
    { path: "init", kind: "file", mode: 0o755, data: init },
  );
  const packed = new Set<string>();
  for (const [list, wanted] of Object.entries(moduleLists)) {
    const files = await resolveModules(modulesDirectory, wanted);
    for (const file of files.filter((candidate) => !packed.has(candidate))) {
      entries.push({ path: `modules/${basename(file)}`, kind: "file", mode: 0o644, data: await readFile(file) });
      packed.add(file);
    }
    const names = files.map((file) => `${basename(file)}\n`).join("");
    entries.push({ path: `modules/${list}`, kind: "file", mode: 0o644, data: Buffer.from(names) });
  }
  return writeArchive(entries);
}

/** All files or none: written beside the target, which a rename then makes at once. */
async function publish(directory: string, files: Record<string, Buffer>): Promise<void> {
  const temporary = `${directory}.${randomUUID()}.tmp`;
  await mkdir(temporary, { recursive: true });
  try {
    for (const [name, data] of Object.entries(files)) await writeFile(join(temporary, name), data, { flush: true });
    await rename(temporary, directory);
  } catch (cause) {
    await rm(temporary, { recursive: true, force: true });
    throw new XenoError(
      "kernel-not-written",
      `the kernel cannot be written to ${directory}: ${(cause as Error).message}`,
      {
        hint: "free disk space, or name a directory that does not exist yet",
        cause,
      },
    );
  }
}
