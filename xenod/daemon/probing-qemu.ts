/** QEMU with KVM where a guest really boots with it, else TCG: found out with the first kernel that is to run. */
import { mkdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { DomainSpecification, Hypervisor } from "../hypervisors/hypervisor.ts";
import { chooseAccelerator } from "../hypervisors/qemu/kvm-probe.ts";
import { createQemuHypervisor } from "../hypervisors/qemu/qemu.ts";
import { SerialQueues } from "../serial-queues.ts";

const qemu = "qemu-system-x86_64";

/** Shared by the XenoServers of a host: a KVM that hangs costs 5 s to find out. */
const defaultDirectory = "/run/xeno";

/** Where what KVM did with a kernel, by its tree's id, is kept until the host boots again. */
export function kvmVerdictFile(tree: string, directory = defaultDirectory): string {
  return join(directory, `kvm-${tree.slice(0, 16)}.json`);
}

export function createProbingQemu(verdictDirectory = defaultDirectory): Hypervisor {
  const probes = new SerialQueues();
  // Finding a domain does not depend on how it was accelerated.
  const finder = createQemuHypervisor({ accelerator: "tcg", qemu });

  async function choose({ kernel, initramfs }: DomainSpecification, signal: AbortSignal): Promise<Hypervisor> {
    // One probe at a time: the others take its verdict.
    const accelerator = await probes.run("kvm", async () => {
      await mkdir(verdictDirectory, { recursive: true, mode: 0o700 });
      // kernel-images.ts names the directory after the tree.
      const kernelId = basename(dirname(kernel));
      const verdictFile = kvmVerdictFile(kernelId, verdictDirectory);
      return chooseAccelerator({ qemu, kernel, initramfs, kernelId, verdictFile, signal });
    });
    return createQemuHypervisor({ accelerator, qemu });
  }

  return {
    ...finder,
    create: async (specification, signal) => (await choose(specification, signal)).create(specification, signal),
    restore: async (specification, image, platform, signal) =>
      (await choose(specification, signal)).restore(specification, image, platform, signal),
    receive: async (specification, open, platform, signal) =>
      (await choose(specification, signal)).receive(specification, open, platform, signal),
  };
}
