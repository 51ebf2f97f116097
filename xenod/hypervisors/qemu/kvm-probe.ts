/**
 * Does KVM really run guests here? A /dev/kvm that exists is not enough: under some hypervisors it hangs, or fails at an
 * instruction that only a real kernel uses. So the real kernel is booted, with `xeno.probe` on its command line, until it
 * powers itself off. The verdict holds until the host boots again, for the same kernel.
 */
import { constants } from "node:fs";
import { access, mkdtemp, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { systemEnvironment } from "../../system-path.ts";
import { type Accelerator, cpuModels, machineType } from "./command-line.ts";
import { QmpClient } from "./qmp.ts";

export interface KvmVerdict {
  readonly works: boolean;
  /** In words, for `xeno doctor`. */
  readonly reason: string;
}

export interface KvmProbe {
  readonly qemu: string;
  readonly kernel: string;
  readonly initramfs: string;
  /** Names the kernel's content, where copies of it share a verdict. Default: its path, size and time. */
  readonly kernelId?: string;
  /** Where the verdict is kept. */
  readonly verdictFile: string;
  readonly signal: AbortSignal;
}

/** KVM boots this in 0.3 to 1 s; a machine where it takes longer is better off without. */
const bootDeadlineMs = 5_000;

export async function probeKvm(probe: KvmProbe): Promise<KvmVerdict> {
  const key = await describeHost(probe);
  const kept = await readFile(probe.verdictFile, "utf8").then(JSON.parse, () => undefined);
  if (kept?.key === key) return kept.verdict;
  const verdict = await askKvm(probe);
  const temporary = `${probe.verdictFile}.${process.pid}.tmp`;
  await writeFile(temporary, JSON.stringify({ key, verdict }));
  await rename(temporary, probe.verdictFile);
  return verdict;
}

export async function chooseAccelerator(probe: KvmProbe): Promise<Accelerator> {
  return (await probeKvm(probe)).works ? "kvm" : "tcg";
}

async function describeHost({ qemu, kernel, kernelId }: KvmProbe): Promise<string> {
  const bootId = (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
  if (kernelId !== undefined) return JSON.stringify([bootId, qemu, kernelId]);
  const { size, mtimeMs } = await stat(kernel);
  return JSON.stringify([bootId, qemu, kernel, size, mtimeMs]);
}

async function askKvm({ qemu, kernel, initramfs, signal }: KvmProbe): Promise<KvmVerdict> {
  const usable = await access("/dev/kvm", constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  );
  if (!usable) return { works: false, reason: "there is no /dev/kvm that this user may use" };
  const directory = await mkdtemp(join(tmpdir(), "xeno-kvm-"));
  const socket = join(directory, "qmp.sock");
  const ending = new AbortController();
  const running = execa(
    qemu,
    [
      ...["-machine", machineType, "-accel", "kvm", "-cpu", cpuModels.kvm, "-m", "256M", "-bios", "qboot.rom"],
      ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-action", "panic=pause"],
      ...["-kernel", kernel, "-initrd", initramfs, "-append", "quiet panic=0 xeno.probe"],
      ...["-qmp", `unix:${socket},server=on,wait=on`, "-sandbox", "on,spawn=deny"],
    ],
    {
      reject: false,
      timeout: bootDeadlineMs,
      killSignal: "SIGKILL",
      cancelSignal: AbortSignal.any([signal, ending.signal]),
      forceKillAfterDelay: 0,
      stdin: "ignore",
      env: systemEnvironment,
      extendEnv: false,
      maxBuffer: 65_536,
    },
  );
  try {
    const stopped = watchForStop(socket, ending.signal);
    const outcome = await Promise.race([running, stopped]);
    signal.throwIfAborted();
    if (typeof outcome === "string") return { works: false, reason: `a guest under KVM ended in ${outcome}` };
    if (outcome.timedOut) return { works: false, reason: `a guest under KVM did not come up in ${bootDeadlineMs} ms` };
    if (outcome.failed) {
      return {
        works: false,
        reason: `QEMU does not start with KVM: ${String(outcome.stderr).split("\n")[0].slice(0, 200)}`,
      };
    }
    return { works: true, reason: `a guest booted under KVM in ${Math.round(outcome.durationMs)} ms` };
  } finally {
    ending.abort();
    await running;
    await rm(directory, { recursive: true, force: true });
  }
}

/** Settles with the state that QEMU stopped its guest in; never, where the guest powers off. */
async function watchForStop(socket: string, signal: AbortSignal): Promise<string> {
  let control: QmpClient | undefined;
  while (control === undefined && !signal.aborted) {
    control = await QmpClient.connect(socket, bootDeadlineMs).catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return new Promise((resolve) => {
    const ask = async () => {
      const answer = (await control?.execute("query-status").catch(() => undefined)) as { status: string } | undefined;
      if (answer !== undefined && !["running", "shutdown", "prelaunch"].includes(answer.status)) resolve(answer.status);
    };
    control?.onEvent(ask);
    void ask();
    signal.addEventListener("abort", () => control?.close());
  });
}
