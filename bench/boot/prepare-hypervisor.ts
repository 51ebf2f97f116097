/** What both we and a peer boot with: the kernel as files, and whether KVM runs it. */
import fs from "node:fs/promises";
import path from "node:path";
import type { Layers } from "../../templates/layers/open-layers.ts";
import { type KernelImage, KernelImages } from "../../xenod/daemon/kernel-images.ts";
import { kvmVerdictFile } from "../../xenod/daemon/probing-qemu.ts";
import { type KvmVerdict, probeKvm } from "../../xenod/hypervisors/qemu/kvm-probe.ts";

export interface PreparedHypervisor {
  readonly image: KernelImage;
  readonly kernelTree: string;
  readonly kvm: KvmVerdict;
}

/** Asks the question that the first XenoServer would ask in its first boot, where it would take seconds. */
export async function prepareHypervisor(
  layers: Layers,
  kernelUrl: string,
  directory: string,
  signal: AbortSignal,
): Promise<PreparedHypervisor> {
  const { tree } = await layers.resolveUrl(kernelUrl, signal);
  await fs.mkdir(directory, { recursive: true, mode: 0o700 });
  const image = await new KernelImages(directory, layers).prepare(kernelUrl, tree, signal);
  const { kernel, initramfs } = image;
  const verdictFile = kvmVerdictFile(tree);
  await fs.mkdir(path.dirname(verdictFile), { recursive: true, mode: 0o700 });
  const kvm = await probeKvm({ qemu: "qemu-system-x86_64", kernel, initramfs, kernelId: tree, verdictFile, signal });
  return { image, kernelTree: tree, kvm };
}
