/** A peer: the same root in a disk image on the host, with an empty copy-on-write image (qcow2) over it. */
import { diskInitOption } from "../boot/disk/initramfs.ts";
import type { PreparedDisk } from "../boot/disk/prepare.ts";
import { createDisk } from "../moves/bare/bare-qemu.ts";
import { bootPeer, type PeerPlace } from "./boot-peer.ts";
import type { Contender } from "./contender.ts";

export function createDiskContender(place: PeerPlace, { initramfs, image }: PreparedDisk): Contender {
  return {
    name: "disk",
    title: "Disk image",
    async boot(signal) {
      const root = { initramfs, words: [diskInitOption], disk: () => createDisk(image, place.directory, signal) };
      return await bootPeer(place, root, signal);
    },
  };
}
