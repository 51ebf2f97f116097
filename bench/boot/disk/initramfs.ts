/**
 * The kernel template's initramfs with one more archive behind it, which the kernel unpacks over the first: the modules of a
 * disk with ext4, and an init for it that the kernel's command line chooses (rdinit=).
 */
import fs from "node:fs/promises";
import path from "node:path";
import { execa } from "execa";
import { type ArchiveEntry, writeArchive } from "../../../templates/kernel/archive.ts";
import type { KernelConfiguration } from "../../../templates/kernel/build-kernel.ts";
import { fetchKernelPackage } from "../../../templates/kernel/fetch-package.ts";
import { resolveModules } from "../../../templates/kernel/modules.ts";
import type { KernelImage } from "../../../xenod/daemon/kernel-images.ts";

/** For the kernel's command line. */
export const diskInitOption = "rdinit=/disk-init";

/** ext4 asks for its checksum by the name of an algorithm, so no module names that dependency. */
const wanted = ["virtio_blk", "crc32c_generic", "ext4"];

/**
 * Returns the file, in the scratch directory. Fetches the kernel's Debian package, because the template holds no further
 * modules.
 */
export async function makeDiskInitramfs(image: KernelImage, scratch: string, signal: AbortSignal): Promise<string> {
  const text = await fs.readFile(path.join(path.dirname(image.kernel), "config.json"), "utf8");
  const { version }: KernelConfiguration = JSON.parse(text);
  const kernelPackage = await fetchKernelPackage(`linux-image-${version}`, scratch, signal);
  const unpacked = path.join(scratch, "package");
  await execa("dpkg-deb", ["-x", kernelPackage, unpacked], { cancelSignal: signal });
  const extension = await packExtension(path.join(unpacked, "lib/modules", version));
  const combined = path.join(scratch, "initramfs");
  await fs.writeFile(combined, Buffer.concat([await fs.readFile(image.initramfs), extension]));
  return combined;
}

async function packExtension(modulesDirectory: string): Promise<Buffer> {
  const files = await resolveModules(modulesDirectory, wanted);
  const entries: ArchiveEntry[] = [];
  for (const file of files)
    entries.push({ path: `modules/${path.basename(file)}`, kind: "file", mode: 0o644, data: await fs.readFile(file) });
  const list = files.map((file) => `${path.basename(file)}\n`).join("");
  const init = await fs.readFile(new URL("init.sh", import.meta.url));
  entries.push(
    { path: "modules/disk", kind: "file", mode: 0o644, data: Buffer.from(list) },
    { path: "disk-init", kind: "file", mode: 0o755, data: init },
  );
  return writeArchive(entries);
}
