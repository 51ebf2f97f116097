/** The same root as our guests', in a disk image: what the overlay's union holds, copied into an ext4 file system. */
import path from "node:path";
import { execa } from "execa";
import { mountFileSystem } from "../../../cowfs/fuse/mount.ts";
import { openUnion } from "../../../cowfs/union/union.ts";
import type { Layers } from "../../../templates/layers/open-layers.ts";
import { systemEnvironment } from "../../../xenod/system-path.ts";
import type { Scratch } from "./scratch.ts";

export interface DiskImageRequest {
  readonly layers: Layers;
  readonly overlay: string;
  readonly contentBytes: number;
  readonly scratch: Scratch;
  readonly signal: AbortSignal;
}

/** Room for what blocks and inodes take beyond the content, and for what the guest writes. The file is sparse. */
const spareBytes = 1024 ** 3;

/** Returns the image, in the scratch directory. */
export async function makeDiskImage({ layers, overlay, contentBytes, scratch, signal }: DiskImageRequest) {
  const image = path.join(scratch.path, "image");
  const journal = path.join(scratch.path, "journal");
  const union = await openUnion({ journal, base: overlay, resolve: layers.resolve, signal });
  try {
    const mount = await mountFileSystem(union, scratch.mountPoint, { name: overlay, signal });
    try {
      await makeFileSystem(scratch.mountPoint, image, contentBytes, signal);
    } finally {
      await mount.unmount();
    }
  } finally {
    await union.close();
  }
  return image;
}

async function makeFileSystem(from: string, image: string, contentBytes: number, signal: AbortSignal): Promise<void> {
  const kibibytes = Math.ceil((contentBytes + spareBytes) / 1024);
  // Otherwise the guest's kernel would write the inode tables while the guest boots.
  const settled = ["-E", "lazy_itable_init=0,lazy_journal_init=0"];
  const options = { cancelSignal: signal, env: systemEnvironment, stdin: "ignore" } as const;
  await execa("mke2fs", ["-q", "-t", "ext4", ...settled, "-d", from, image, `${kibibytes}k`], options);
  // Half a gigabyte on its way to the disk would slow the first boots.
  await execa("sync", [image], options);
}
