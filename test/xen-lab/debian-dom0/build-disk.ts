/**
 * The disk of a Debian dom0 with systemd: the lab's own, with what docs/operating.md has an operator install on a Xen host. Two things
 * are not as there: Xen is booted by QEMU and not by GRUB, and the kernel's modules are those that the lab's machine has a use for.
 *
 * Made once for each state of what it is made of, beside the lab's images; older ones are removed.
 */
import { createHash } from "node:crypto";
import { constants, copyFile, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { execa } from "execa";
import type { ImageBuild, LabImages } from "../../../bench/xen-lab/images.ts";
import { findAptProxy } from "../../../templates/import/debian/list-sources.ts";
import { systemEnvironment } from "../../../xenod/system-path.ts";
import { readCommands } from "./documented-commands.ts";

/** What every Debian has, and the lab's own disk does not. */
const stockPackages = ["systemd-sysv", "dbus", "udev"];

/** $1: the disk. $2: apt's proxy, or nothing. $3: what is run in it. All mounts are this shell's alone. */
const enterDisk = `
root=$(mktemp -d)
mount -o loop "$1" "$root"
mount -t proc none "$root/proc"
mount -t tmpfs none "$root/run"
mount --rbind /dev "$root/dev"
cat /etc/resolv.conf >"$root/etc/resolv.conf"
[ -z "$2" ] || echo "Acquire::http::Proxy \\"$2\\";" >"$root/etc/apt/apt.conf.d/lab-proxy"
printf '#!/bin/sh\\nexit 101\\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
chroot "$root" env DEBIAN_FRONTEND=noninteractive sh -exc "$3" </dev/null
rm -f "$root/usr/sbin/policy-rc.d" "$root/etc/apt/apt.conf.d/lab-proxy" "$root"/var/cache/apt/archives/*.deb
umount -R "$root"
rmdir "$root"`;

export async function buildDebianDisk(
  images: LabImages,
  { directory, signal, onProgress }: ImageBuild,
): Promise<string> {
  // All but the start under Xen.
  const documented = (await readCommands("On a Xen host")).filter((line) => !/update-grub/.test(line));
  const install = `apt-get update -q && apt-get install -q -y --no-install-recommends ${stockPackages.join(" ")}`;
  const commands = [install, ...documented].join("\n");
  const key = createHash("sha256")
    .update(JSON.stringify([basename(dirname(images.disk)), commands, enterDisk]))
    .digest("hex");
  const disk = join(directory, `debian-${key.slice(0, 16)}.img`);
  if (await stat(disk).catch(() => undefined)) return disk;
  onProgress("making a Debian dom0 with systemd");
  const scratch = `${disk}.${process.pid}.tmp`;
  try {
    await copyFile(images.disk, scratch, constants.COPYFILE_FICLONE);
    await execa(
      "unshare",
      [
        ...["--mount", "--propagation=private", "sh", "-ec", enterDisk, "sh"],
        ...[scratch, await findAptProxy(), commands],
      ],
      { env: systemEnvironment, stdin: "ignore", cancelSignal: signal, maxBuffer: 16 * 1024 * 1024 },
    );
    await rename(scratch, disk);
  } finally {
    await rm(scratch, { force: true });
  }
  for (const other of await readdir(directory))
    if (/^debian-[0-9a-f]{16}\.img$/.test(other) && other !== basename(disk)) await rm(join(directory, other));
  return disk;
}
