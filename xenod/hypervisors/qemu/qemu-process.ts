/**
 * The QEMU process of a domain: started so that it outlives Xenod, and found again by another Xenod.
 *
 * A process is taken for the domain's when QEMU's pid file names it and its command line names that pid file: a reused
 * process id cannot do that by accident. From then on, the time it started tells it from later ones.
 */
import { type StdioOptions, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, open, readFile, rm, stat } from "node:fs/promises";
import type { Socket } from "node:net";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as delay } from "node:timers/promises";
import { XenoError } from "../../../cowfs/errors.ts";
import { readStartTime, waitUntilGone } from "../../processes.ts";
import { type CpuShare, makeCpuGroup, removeCpuGroup } from "../../resources/cpu-group.ts";
import { systemEnvironment } from "../../system-path.ts";
import type { DomainSpecification } from "../hypervisor.ts";
import { domainFiles, imageDescriptor } from "./command-line.ts";
import { QmpClient } from "./qmp.ts";

export interface QemuProcess {
  readonly pid: number;
  readonly startTime: string;
}

/** QEMU loads kernel and initramfs before it serves its control socket. */
const startDeadlineMs = 30_000;
const goneDeadlineMs = 10_000;
/** From what QEMU said last to its end. */
const endingMs = 2_000;
const pollMs = 5;

/** Called once QEMU can take it. */
export type OpenImage = () => Promise<Readable>;

/**
 * Starts QEMU and returns its control connection: with the memory of `image`, where there is one, loaded. Rejects with what QEMU
 * or the image's stream said, and then nothing of it is left.
 */
export async function startQemu(
  specification: DomainSpecification,
  [command, ...options]: string[],
  image: OpenImage | undefined,
  signal: AbortSignal,
): Promise<{ process: QemuProcess; control: QmpClient }> {
  const files = domainFiles(specification.directory);
  await prepareDirectory(specification);
  const log = await open(files.log, "w", 0o600);
  // The fourth is `imageDescriptor`.
  const stdio: StdioOptions = ["ignore", log.fd, log.fd, ...(image ? (["pipe"] as const) : [])];
  const child = spawn(command, options, { detached: true, cwd: "/", stdio, env: systemEnvironment });
  const failure = once(child, "exit").then(
    () => true,
    () => true,
  );
  await log.close();
  try {
    const control = await connectWhenReady(files.control, failure, signal);
    if (control === undefined) throw explain(specification, await readFile(files.log, "utf8"), child.exitCode);
    const process = await findQemu(specification.directory);
    if (process === undefined) {
      control.close();
      throw explain(specification, await readFile(files.log, "utf8"), child.exitCode);
    }
    let feed: MemoryFeed | undefined;
    try {
      if (specification.cpu !== undefined) await limitCpu(specification.directory, process.pid, specification.cpu);
      if (image !== undefined) {
        const opened = await Promise.race([image(), failure]);
        // It ended before there was anything to take.
        if (typeof opened === "boolean")
          throw new XenoError("qemu-failed", "QEMU ended while it waited for its memory");
        feed = feedMemory(opened, child.stdio[imageDescriptor] as Socket, signal);
        await awaitLoaded(control, feed, failure, signal);
      }
    } catch (error) {
      control.close();
      signal.throwIfAborted();
      const hasEnded = await Promise.race([failure, delay(endingMs, false)]);
      // QEMU sees that its image ends, whoever reads it sees why. Its own reason is in its log, once it is gone.
      if (feed?.broken !== undefined) throw feed.broken;
      if (hasEnded) throw explain(specification, await readFile(files.log, "utf8"), child.exitCode);
      throw error;
    } finally {
      await feed?.end();
    }
    child.unref();
    return { process, control };
  } catch (error) {
    child.kill("SIGKILL");
    await failure;
    await removeFiles(specification.directory);
    throw error;
  }
}

interface MemoryFeed {
  /** Why the image could not be read to its end. */
  readonly broken: unknown;
  /** Settles when nothing is read or written any more. */
  end(): Promise<void>;
}

function feedMemory(image: Readable, into: Socket, signal: AbortSignal): MemoryFeed {
  const ended = new AbortController();
  let broken: unknown;
  // Also after the pipeline has let go of it.
  into.on("error", () => {});
  const feeding = pipeline(image, into, { signal: AbortSignal.any([signal, ended.signal]) }).catch((error) => {
    // QEMU closes its end when it has all, or when it ends.
    if (!ended.signal.aborted && error.code !== "EPIPE" && error.code !== "ECONNRESET") broken = error;
  });
  return {
    get broken() {
      return broken;
    },
    async end() {
      ended.abort();
      await feeding;
      into.destroy();
    },
  };
}

/** Settles when QEMU has taken the whole image in. */
async function awaitLoaded(
  control: QmpClient,
  feed: MemoryFeed,
  failure: Promise<boolean>,
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    signal.throwIfAborted();
    if (feed.broken !== undefined) throw feed.broken;
    const { status } = (await control.execute("query-migrate")) as { status?: string };
    if (status === "completed") return;
    if (status === "failed" || (await Promise.race([failure, delay(pollMs, false)])))
      throw new XenoError("image-damaged", "QEMU does not take the memory image");
  }
}

async function prepareDirectory({ name, directory, kernel, initramfs }: DomainSpecification): Promise<void> {
  for (const [what, file] of Object.entries({ kernel, initramfs })) {
    await stat(file).catch((cause) => {
      throw new XenoError("image-missing", `domain ${name}: no ${what} at ${file}`, {
        hint: "import the kernel template: xeno template ls",
        cause,
      });
    });
  }
  const files = domainFiles(directory);
  // sun_path of unix(7); QEMU would refuse with less to go by.
  if (Buffer.byteLength(files.console) > 107) {
    throw new XenoError("path-too-long", `domain ${name}: ${files.console} is too long for a socket`, {
      hint: "choose a shorter $XENO_HOME",
    });
  }
  await removeFiles(directory);
  await mkdir(files.emptyRoot, { recursive: true, mode: 0o755 });
}

async function connectWhenReady(
  path: string,
  failure: Promise<boolean>,
  signal: AbortSignal,
): Promise<QmpClient | undefined> {
  const end = performance.now() + startDeadlineMs;
  for (;;) {
    signal.throwIfAborted();
    try {
      return await QmpClient.connect(path);
    } catch (error) {
      if (performance.now() > end) throw error;
    }
    if (await Promise.race([failure, delay(10, false)])) return undefined;
  }
}

/** The running QEMU of the domain in this directory. */
export async function findQemu(directory: string): Promise<QemuProcess | undefined> {
  const files = domainFiles(directory);
  const pid = Number(await readFile(files.processId, "latin1").catch(() => Number.NaN));
  if (!Number.isInteger(pid) || pid <= 1) return undefined;
  const startTime = await readStartTime(pid);
  const commandLine = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
  return startTime !== undefined && commandLine.split("\0").includes(files.processId) ? { pid, startTime } : undefined;
}

/** Ends it now. Settles once it is gone. */
export async function killQemu({ pid, startTime }: QemuProcess): Promise<void> {
  if ((await readStartTime(pid)) !== startTime) return;
  try {
    process.kill(pid, "SIGKILL");
  } catch {}
  if (!(await waitUntilGone(pid, startTime, goneDeadlineMs))) {
    throw new XenoError("domain-undead", `QEMU (process ${pid}) does not end`, {
      hint: "the host's kernel holds it: see its console log (dmesg)",
    });
  }
}

/** Holds a running QEMU to its share of the processors. */
export async function limitCpu(directory: string, pid: number, share: CpuShare): Promise<void> {
  const group = await makeCpuGroup(directory);
  await group.limit(share);
  await group.add(pid);
}

/** What QEMU leaves; the logs stay, for whoever asks why it ended. */
export async function removeFiles(directory: string): Promise<void> {
  const { control, console, processId } = domainFiles(directory);
  await removeCpuGroup(directory);
  for (const file of [control, console, processId]) await rm(file, { force: true });
}

const knownFailures = [
  {
    pattern: /load of migration failed|error while loading state|Not a migration stream/i,
    code: "image-damaged",
    hint: "the memory image is damaged, or was made by another machine: resume an older checkpoint",
  },
  {
    pattern: /could not configure .*tun.*busy/i,
    code: "tap-busy",
    hint: "another process has this guest's link; end it, or delete the link and make it anew",
  },
  { pattern: /KVM/, code: "kvm-unusable", hint: "let Xenod choose the accelerator: xeno doctor shows what it found" },
  { pattern: /cannot allocate memory|cannot set up guest memory/i, code: "memory-short", hint: "ask for less memory" },
  {
    pattern: /nsenter: .*netns/i,
    code: "link-missing",
    hint: "the guest's network namespace is gone: make its link anew",
  },
  {
    pattern: /failed to execute|No such file or directory/i,
    code: "qemu-missing",
    hint: "install Debian's qemu-system-x86, util-linux and coreutils",
  },
] as const;

function explain({ name }: DomainSpecification, log: string, exitCode: number | null): XenoError {
  const said = log.trim().split("\n").at(-1)?.slice(0, 500) || `it ended with ${exitCode}`;
  const known = knownFailures.find(({ pattern }) => pattern.test(log));
  return new XenoError(known?.code ?? "qemu-failed", `domain ${name}: QEMU does not start: ${said}`, {
    hint: known?.hint ?? "QEMU's own words are in qemu.log in the domain's directory",
  });
}
