/**
 * What the disk peer boots, made once for each kernel and overlay and kept: its initramfs, and its image, which takes half a
 * gigabyte.
 */
import { createHash } from "node:crypto";
import fs from "node:fs/promises";
import path from "node:path";
import { execa } from "execa";
import { XenoError } from "../../../cowfs/errors.ts";
import type { Layers } from "../../../templates/layers/open-layers.ts";
import type { KernelImage } from "../../../xenod/daemon/kernel-images.ts";
import { systemEnvironment } from "../../../xenod/system-path.ts";
import { makeDiskImage } from "./image.ts";
import { makeDiskInitramfs } from "./initramfs.ts";
import { takeScratch } from "./scratch.ts";

export interface DiskRequest {
  readonly layers: Layers;
  readonly image: KernelImage;
  readonly overlay: { readonly url: string; readonly id: string };
  /** File bytes of all layers. */
  readonly contentBytes: number;
  /** Of this program alone. */
  readonly directory: string;
  readonly signal: AbortSignal;
}

export interface PreparedDisk {
  readonly initramfs: string;
  readonly image: string;
}

export async function prepareDisk(
  request: DiskRequest,
  tell: (who: string, what: string) => void,
): Promise<PreparedDisk> {
  const { directory, overlay } = request;
  await requireTools();
  await fs.mkdir(directory, { recursive: true, mode: 0o700 });
  await using scratch = await takeScratch(path.join(directory, "scratch"));
  const kernel = await fs.readFile(request.image.initramfs);
  const initramfs = path.join(directory, `initramfs-${await nameResult(kernel, ["initramfs.ts", "init.sh"])}`);
  const image = path.join(directory, `image-${await nameResult(overlay.id, ["image.ts"])}`);
  await removeOthers(directory, [initramfs, image, scratch.path]);
  if (!(await exists(initramfs))) {
    tell("disk", "making the initramfs of the disk image's guest");
    const made = await makeDiskInitramfs(request.image, scratch.path, request.signal);
    await fs.rename(made, initramfs);
  }
  if (!(await exists(image))) {
    tell("disk", `making a disk image of ${overlay.url}`);
    const made = await makeDiskImage({ ...request, overlay: overlay.url, scratch });
    await fs.rename(made, image);
  }
  return { initramfs, image };
}

/** By all that it is made from: what is given, and our own files. */
async function nameResult(given: Buffer | string, sources: readonly string[]): Promise<string> {
  const hash = createHash("sha256").update(given);
  for (const source of sources) hash.update(await fs.readFile(path.join(import.meta.dirname, source)));
  return hash.digest("hex").slice(0, 16);
}

/** What was made of other kernels and overlays. */
async function removeOthers(directory: string, kept: readonly string[]): Promise<void> {
  for (const name of await fs.readdir(directory)) {
    const file = path.join(directory, name);
    if (!kept.includes(file)) await fs.rm(file, { recursive: true, force: true });
  }
}

async function requireTools(): Promise<void> {
  for (const [tool, debianPackage] of Object.entries({ mke2fs: "e2fsprogs", "qemu-img": "qemu-utils" })) {
    const { failed } = await execa(tool, ["-V"], { env: systemEnvironment, reject: false, stdin: "ignore" });
    if (failed)
      throw new XenoError("tool-missing", `the disk peer needs ${tool}`, { hint: `apt-get install ${debianPackage}` });
  }
}

async function exists(file: string): Promise<boolean> {
  return await fs.access(file).then(
    () => true,
    () => false,
  );
}
