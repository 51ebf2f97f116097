/**
 * Whether KVM boots a guest here, asked with the kernel template that deployments use, where the store has it. The
 * host's XenoServers and root's doctor share the answer.
 */
import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { KernelImages } from "../../xenod/daemon/kernel-images.ts";
import { kvmVerdictFile } from "../../xenod/daemon/probing-qemu.ts";
import { probeKvm } from "../../xenod/hypervisors/qemu/kvm-probe.ts";
import { defaultKernel } from "../deploy/default-kernel.ts";
import type { KvmQuestion } from "../doctor/check-devices.ts";
import type { Home } from "./home.ts";

const qemu = "qemu-system-x86_64";

/** Undefined where there is no kernel to ask with: nothing is made or written to find that out. */
export async function askKvm(home: Home, signal: AbortSignal): Promise<KvmQuestion | undefined> {
  const hasKvm = await fs.access("/dev/kvm").then(
    () => true,
    () => false,
  );
  const store = hasKvm ? await home.openStore({ create: false }).catch(() => undefined) : undefined;
  const layers = store && (await home.openLayers(store).catch(() => undefined));
  const ref = await layers?.resolveUrl(defaultKernel, signal).catch(() => undefined);
  if (layers === undefined || ref === undefined) return undefined;
  return async () => {
    const directory = await fs.mkdtemp(path.join(os.tmpdir(), "xeno-doctor-"));
    try {
      const { kernel, initramfs } = await new KernelImages(directory, layers).prepare(defaultKernel, ref.tree, signal);
      const verdictFile =
        process.geteuid?.() === 0 ? kvmVerdictFile(ref.tree) : kvmVerdictFile(ref.tree, home.directory);
      await fs.mkdir(path.dirname(verdictFile), { recursive: true, mode: 0o700 });
      return await probeKvm({ qemu, kernel, initramfs, kernelId: ref.tree, verdictFile, signal });
    } finally {
      await layers.close();
      await fs.rm(directory, { recursive: true, force: true });
    }
  };
}
