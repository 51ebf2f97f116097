/** QEMU with KVM where a guest really boots with it, else TCG: found out with the first kernel that is to run. */
import type { Hypervisor } from "../hypervisors/hypervisor.ts";
import { chooseAccelerator } from "../hypervisors/qemu/kvm-probe.ts";
import { createQemuHypervisor } from "../hypervisors/qemu/qemu.ts";
import { SerialQueues } from "../serial-queues.ts";

const qemu = "qemu-system-x86_64";

/** `verdictFile` keeps the answer until the host boots again. */
export function createProbingQemu(verdictFile: string): Hypervisor {
  const probes = new SerialQueues();
  // Finding a domain does not depend on how it was accelerated.
  const finder = createQemuHypervisor({ accelerator: "tcg", qemu });
  return {
    kind: finder.kind,
    find: finder.find,
    async create(specification, signal) {
      const { kernel, initramfs } = specification;
      // One probe at a time: the others take its verdict.
      const accelerator = await probes.run("kvm", () =>
        chooseAccelerator({ qemu, kernel, initramfs, verdictFile, signal }),
      );
      return createQemuHypervisor({ accelerator, qemu }).create(specification, signal);
    },
  };
}
