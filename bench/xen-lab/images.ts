/**
 * What the lab's hosts boot: Xen, Debian's kernel for dom0, and a disk with Debian's own xen-utils. Nothing of ours is in it but
 * the list of packages: scripts come with the initramfs, which is packed at each start.
 *
 * Made once for each state of the packages, in `xen-lab/images/` of `$XENO_HOME`: whole or not at all. Older ones are removed.
 */
import { createHash } from "node:crypto";
import { cp, mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { execa } from "execa";
import { XenoError } from "../../cowfs/errors.ts";
import { findAptProxy, listDebianSources } from "../../templates/import/debian/list-sources.ts";
import { type ArchiveEntry, writeArchive } from "../../templates/kernel/archive.ts";
import { fetchKernelPackage } from "../../templates/kernel/fetch-package.ts";
import { resolveModules } from "../../templates/kernel/modules.ts";
import { extractKernel } from "../../templates/kernel/uncompressed-kernel.ts";
import { systemEnvironment } from "../../xenod/system-path.ts";
import { makePackagesDisk } from "./checkout-disks.ts";

export interface LabImages {
  readonly xen: string;
  readonly kernel: string;
  /** What the initramfs is packed of: a busybox, and `modules` in the order in which they are loaded. */
  readonly boot: string;
  readonly disk: string;
  /** The checkout's node_modules. */
  readonly packages: string;
}

export interface ImageBuild {
  /** `xen-lab/images` of the user's state. */
  readonly directory: string;
  readonly signal: AbortSignal;
  onProgress(step: string): void;
}

const release = "bookworm";
const kernelPackage = "linux-image-amd64";
const xenPackage = "xen-hypervisor-4.17-amd64";
/** util-linux, coreutils and perl-base are in every Debian; libstdc++6 is Node's. */
const dom0Packages = ["xen-utils-4.17", "iproute2", "nftables", "kmod", "procps", "libstdc++6", "busybox-static"];
/** Of the kernel's modules, what dom0 may load; the rest is drivers of real machines. */
const moduleFolders = [
  "arch",
  "crypto",
  "lib",
  "net",
  "fs/9p",
  "fs/netfs",
  "fs/fscache",
  "fs/fuse",
  "fs/squashfs",
].concat(["block", "char", "net", "virtio", "xen"].map((name) => `drivers/${name}`));
const bootModules = ["virtio_pci", "virtio_blk", "crc32c_generic", "ext4"];
const diskMiB = 1_600;
const folder = import.meta.dirname;

/** Makes the images, or finds them made. Throws `xen-lab-not-built`. */
export async function buildImages(build: ImageBuild): Promise<LabImages> {
  const key = await describeInputs();
  const directory = join(build.directory, key);
  const made = {
    xen: join(directory, "xen.elf"),
    kernel: join(directory, "vmlinux"),
    boot: join(directory, "boot"),
    disk: join(directory, "dom0.img"),
  };
  const withPackages = async () => ({ ...made, packages: await makePackagesDisk(build.directory, build.signal) });
  if (await exists(made.disk)) return await withPackages();
  await mkdir(build.directory, { recursive: true, mode: 0o700 });
  const scratch = join(build.directory, `${key}.${process.pid}.tmp`);
  try {
    await mkdir(join(scratch, "made"), { recursive: true });
    await makeAll(scratch, build);
    await rename(join(scratch, "made"), directory).catch(async (error) => {
      // Another was faster: its images are as good.
      if (!(await exists(made.disk))) throw error;
    });
  } catch (cause) {
    build.signal.throwIfAborted();
    throw new XenoError("xen-lab-not-built", `the Xen lab's images cannot be made: ${(cause as Error).message}`, {
      hint: "see that apt works here (apt-get update), and that 4 GiB of disk are free",
      cause,
    });
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  for (const name of await readdir(build.directory))
    if (/^[0-9a-f]{16}$/.test(name) && name !== key) await rm(join(build.directory, name), { recursive: true });
  return await withPackages();
}

async function makeAll(scratch: string, { signal, onProgress }: ImageBuild): Promise<void> {
  const made = join(scratch, "made");
  const root = join(scratch, "root");
  onProgress(`making dom0's Debian with ${dom0Packages[0]}`);
  const debian = makeDebian(root, signal);
  // Looked at once the kernel is there.
  debian.catch(() => {});
  onProgress(`fetching ${xenPackage} and ${kernelPackage}`);
  const packages = join(scratch, "packages");
  await mkdir(packages);
  const unpacked = join(scratch, "unpacked");
  for (const name of [await downloadXen(packages, signal), await fetchKernelPackage(kernelPackage, packages, signal)])
    await run(["dpkg-deb", "-x", name, unpacked], signal);
  const boot = await readdir(join(unpacked, "boot"));
  const pick = (pattern: RegExp) => join(unpacked, "boot", boot.find((name) => pattern.test(name)) ?? "missing");
  const xen = await promisify(gunzip)(await readFile(pick(/^xen-4.*\.gz$/)));
  await writeFile(join(made, "xen.elf"), xen);
  await writeFile(join(made, "vmlinux"), await extractKernel(await readFile(pick(/^vmlinuz-/)), signal));
  const [version] = await readdir(join(unpacked, "lib/modules"));
  const modules = join(unpacked, "lib/modules", version);
  await debian;
  await layBootFiles(join(made, "boot"), join(root, "usr/bin/busybox"), await resolveModules(modules, bootModules));
  onProgress("packing dom0's disk");
  await layModules(modules, join(root, "lib/modules", version));
  await run(["chroot", root, "depmod", version], signal);
  for (const name of ["project", "lab"]) await mkdir(join(root, name));
  const disk = join(made, "dom0.img");
  const options = ["-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-d", root, disk, `${diskMiB}M`];
  await run(["mke2fs", ...options], signal);
}

async function makeDebian(root: string, signal: AbortSignal): Promise<void> {
  const proxy = await findAptProxy();
  const documents = ["doc", "man", "info", "locale"].map((name) => `--dpkgopt=path-exclude=/usr/share/${name}/*`);
  await run(
    [
      ...["unshare", "--mount", "--propagation=private"],
      ...["mmdebstrap", "--mode=root", "--variant=minbase", `--include=${dom0Packages.join(",")}`, ...documents],
      ...["--dpkgopt=force-unsafe-io", ...(proxy === "" ? [] : [`--aptopt=Acquire::http::Proxy "${proxy}"`])],
      ...[release, root, ...(await listDebianSources(release))],
    ],
    signal,
  );
}

async function downloadXen(directory: string, signal: AbortSignal): Promise<string> {
  await execa("apt-get", ["download", "-q", xenPackage], {
    cwd: directory,
    env: systemEnvironment,
    cancelSignal: signal,
  });
  const name = (await readdir(directory)).find((entry) => entry.startsWith(`${xenPackage}_`));
  return join(directory, name ?? xenPackage);
}

async function layBootFiles(directory: string, busybox: string, modules: readonly string[]): Promise<void> {
  await mkdir(directory);
  await cp(busybox, join(directory, "busybox"));
  for (const file of modules) await cp(file, join(directory, basename(file)));
  await writeFile(join(directory, "modules"), modules.map((file) => `${basename(file)}\n`).join(""));
}

/** dom0's initramfs, with the scripts of this folder: it mounts the disk and goes on with dom0-init.sh, or another script. */
export async function packInitramfs({ boot }: LabImages, firstProcess = join(folder, "dom0-init.sh")): Promise<Buffer> {
  const names = (await readFile(join(boot, "modules"), "utf8")).split("\n").filter((name) => name !== "");
  const entries: ArchiveEntry[] = ["bin", "dev", "modules", "root"].map((path) => ({ path, kind: "directory" }));
  const files: Record<string, string> = {
    "bin/busybox": join(boot, "busybox"),
    init: join(folder, "initramfs-init.sh"),
    "dom0-init": firstProcess,
    "serve-shell": join(folder, "serve-shell.sh"),
    "modules/list": join(boot, "modules"),
    ...Object.fromEntries(names.map((name) => [`modules/${name}`, join(boot, name)])),
  };
  entries.push({ path: "dev/console", kind: "character", major: 5, minor: 1 });
  for (const [path, file] of Object.entries(files))
    entries.push({ path, kind: "file", mode: 0o755, data: await readFile(file) });
  return writeArchive(entries);
}

async function layModules(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true });
  for (const name of ["modules.builtin", "modules.builtin.modinfo", "modules.order"])
    await cp(join(from, name), join(to, name));
  for (const name of moduleFolders) {
    const source = join(from, "kernel", name);
    if (await exists(source)) await cp(source, join(to, "kernel", name), { recursive: true });
  }
}

/** 16 hexadecimal digits. */
async function describeInputs(): Promise<string> {
  const hash = createHash("sha256").update(JSON.stringify([dom0Packages, moduleFolders, bootModules, diskMiB]));
  const { stdout } = await execa("apt-cache", ["policy", xenPackage, "xen-utils-4.17", kernelPackage], {
    env: systemEnvironment,
  });
  for (const [line] of stdout.matchAll(/^ {2}Candidate: .*$/gm)) hash.update(line);
  return hash.digest("hex").slice(0, 16);
}

async function run([command, ...options]: string[], signal: AbortSignal): Promise<void> {
  await execa(command, options, {
    env: systemEnvironment,
    stdin: "ignore",
    cancelSignal: signal,
    maxBuffer: 1_000_000,
  });
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
