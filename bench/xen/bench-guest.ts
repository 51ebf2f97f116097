/** The guest that is measured: Debian's kernel, 128 MiB, and a shell that prints a line 20 times a second. In dom0. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type ArchiveEntry, writeArchive } from "../../templates/kernel/archive.ts";
import type { KernelConfiguration } from "../../templates/kernel/build-kernel.ts";
import type { DomainSpecification } from "../../xenod/hypervisors/hypervisor.ts";
import { createLink } from "../../xenod/links/guest-link.ts";

const init = `#!/bin/busybox sh
/bin/busybox mount -t devtmpfs none /dev
exec </dev/console >/dev/console 2>&1
/bin/busybox --install -s /bin
mount -t proc none /proc
mount -t sysfs none /sys
while read -r module; do insmod "/modules/$module"; done </modules/xen
until [ -e /sys/class/net/eth0 ]; do sleep 0.1; done
while :; do echo tick; sleep 0.05; done
`;

/** In `kernelDirectory`, which templates/kernel made, beside its own: the initramfs whose last /init stays. */
export async function prepareInitramfs(kernelDirectory: string): Promise<string> {
  const { initramfs } = await readConfiguration(kernelDirectory);
  const ours: ArchiveEntry[] = [{ path: "init", kind: "file", mode: 0o755, data: Buffer.from(init) }];
  const file = "/var/tmp/bench-initramfs.cpio";
  await writeFile(file, Buffer.concat([await readFile(join(kernelDirectory, initramfs)), writeArchive(ours)]));
  return file;
}

/** A domain that can be created, with a link and a directory of its own. */
export async function prepareGuest(
  name: string,
  place: { kernelDirectory: string; initramfs: string; prefix: string },
) {
  const { kernelDirectory, initramfs, prefix } = place;
  const { kernel, commandLine } = await readConfiguration(kernelDirectory);
  const directory = join("/var/tmp", name);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const link = await createLink({ prefix, server: "server", domain: name, kind: "bridge" });
  const size = { memoryMiB: 128, cpus: 1 };
  const boot = { kernel: join(kernelDirectory, kernel), initramfs, commandLine };
  return { name, directory, link, ...size, ...boot } satisfies DomainSpecification;
}

async function readConfiguration(directory: string): Promise<KernelConfiguration> {
  return JSON.parse(await readFile(join(directory, "config.json"), "utf8"));
}
