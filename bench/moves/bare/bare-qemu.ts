/** A QEMU as an operator has it without us: the same machine and link as our guests', its root on a disk image or elsewhere. */
import fs from "node:fs/promises";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { execa } from "execa";
import { XenoError } from "../../../cowfs/errors.ts";
import type { DomainSpecification } from "../../../xenod/hypervisors/hypervisor.ts";
import { composeCommand } from "../../../xenod/hypervisors/qemu/command-line.ts";
import { killQemu, startQemu } from "../../../xenod/hypervisors/qemu/qemu-process.ts";
import { systemEnvironment } from "../../../xenod/system-path.ts";

/** What bare QEMU does not have: it is confined, and so cannot start the programs that take its memory. */
const confinement = ["-sandbox", "-runas", "-chroot"];
const pollMs = 5;
const deadlineMs = 120_000;

export interface BareQemu {
  execute(command: string, options?: Record<string, unknown>): Promise<unknown>;
  /** Asks until the answer is what is waited for. */
  until<T>(command: string, isSo: (answer: T) => boolean, signal: AbortSignal): Promise<void>;
  end(): Promise<void>;
}

/** It stands still until `cont`. `incoming`: where its memory comes from (qemu(1)). */
export async function startBareQemu(
  specification: DomainSpecification,
  { disk, hasKvm, incoming }: { disk?: string; hasKvm: boolean; incoming?: string },
  signal: AbortSignal,
): Promise<BareQemu> {
  const command = composeCommand(specification, hasKvm ? "kvm" : "tcg", "qemu-system-x86_64", false)
    .filter((word, index, words) => !confinement.includes(word) && !confinement.includes(words[index - 1]))
    // Ours writes nothing but its console log; this one writes its disk.
    .map((word) => (word.startsWith("--fsize=") ? "--fsize=unlimited" : word));
  if (disk !== undefined) {
    command.push("-drive", `file=${disk.replaceAll(",", ",,")},if=none,id=root,format=qcow2`);
    command.push("-device", "virtio-blk-pci,drive=root");
  }
  if (incoming !== undefined) command.push("-incoming", incoming);
  const { process, control } = await startQemu(specification, command, undefined, signal);
  return {
    execute: (name, options) => control.execute(name, options),
    async until(name, isSo, within) {
      for (const end = performance.now() + deadlineMs; ; await delay(pollMs, undefined, { signal: within })) {
        const answer = await control.execute(name);
        if (isSo(answer as never)) return;
        if (performance.now() > end || (answer as { status?: string }).status === "failed")
          throw new XenoError("peer-failed", `bare QEMU: ${name} says ${JSON.stringify(answer)}`);
      }
    },
    async end() {
      control.close();
      await killQemu(process);
    },
  };
}

/** Empty, over the image: what the guest writes is in it. */
export async function createDisk(image: string, directory: string, signal: AbortSignal): Promise<string> {
  await fs.mkdir(directory, { recursive: true, mode: 0o700 });
  const disk = path.join(directory, "root.qcow2");
  const options = ["create", "-q", "-f", "qcow2", "-F", "raw", "-b", image, disk];
  await execa("qemu-img", options, { cancelSignal: signal, env: systemEnvironment, stdin: "ignore" });
  return disk;
}
