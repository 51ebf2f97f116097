/** QEMU with KVM where a guest really boots with it, else TCG: found out with the first kernel that is to run. */
import { mkdir } from "node:fs/promises";
import { basename, dirname } from "node:path";
import type { Hypervisor } from "../hypervisors/hypervisor.ts";
import { chooseAccelerator } from "../hypervisors/qemu/kvm-probe.ts";
import { createQemuHypervisor } from "../hypervisors/qemu/qemu.ts";
import { SerialQueues } from "../serial-queues.ts";

const qemu = "qemu-system-x86_64";

/** Shared by the XenoServers of a host: a KVM that hangs costs 5 s to find out. */
const defaultVerdictFile = "/run/xeno/kvm-verdict.json";

/** `verdictFile` keeps the answer until the host boots again. */
export function createProbingQemu(verdictFile = defaultVerdictFile): Hypervisor {
  const probes = new SerialQueues();
  // Finding a domain does not depend on how it was accelerated.
  const finder = createQemuHypervisor({ accelerator: "tcg", qemu });
  return {
    kind: finder.kind,
    find: finder.find,
    async create(specification, signal) {
      const { kernel, initramfs } = specification;
      // One probe at a time: the others take its verdict.
      const accelerator = await probes.run("kvm", async () => {
        await mkdir(dirname(verdictFile), { recursive: true, mode: 0o700 });
        // kernel-images.ts names the directory after the tree.
        const kernelId = basename(dirname(kernel));
        return chooseAccelerator({ qemu, kernel, initramfs, kernelId, verdictFile, signal });
      });
      return createQemuHypervisor({ accelerator, qemu }).create(specification, signal);
    },
  };
}
