/**
 * A guest's memory out of Xen and into it: `xl save`, `xl migrate` and `xl restore`, with pipes of ours at their ends.
 *
 * Invariant (M2): until all was sent, the end of our pipe ends the transfer, and the guest runs on; for what follows see holder.ts.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import type { Socket } from "node:net";
import type { Readable, Writable } from "node:stream";
import { finished, pipeline } from "node:stream/promises";
import { setTimeout as delay } from "node:timers/promises";
import { XenoError } from "../../../cowfs/errors.ts";
import { systemEnvironment } from "../../system-path.ts";
import type { DomainSpecification, OutgoingMigration } from "../hypervisor.ts";
import { domainFiles } from "./configuration.ts";
import { composeHolder, endHolder } from "./holder.ts";
import { composeHead, composeXlHeader, type ImageHead, ImageStream, readHead } from "./image-stream.ts";
import { explain, missing } from "./run-xl.ts";

const settleMs = 300_000;
const gonePollMs = 100;

/** A guest that xl is saving, or is about to. */
export interface Saving {
  /** Settles once the guest has stopped itself. Rejects as `write` does; then it runs. */
  stopped(hasStopped: () => Promise<boolean>, signal: AbortSignal): Promise<void>;
  /** Settles once all is written; the guest is paused then. `begun`: what makes it run. Where it fails, the guest may run. */
  write(to: Writable, signal: AbortSignal, begun?: Promise<unknown>): Promise<void>;
  /** Settles once xl has let it run on. */
  cancel(): Promise<void>;
}

/**
 * `xl save` asks the guest to stop itself, so that it has to run for that; a paused one does it once it is unpaused. xl writes no
 * more than a pipe holds until `write` takes it.
 */
export function beginSave(xenName: string, head: ImageHead): Saving {
  // A pipe, since xl opens what it writes to by name; its status goes its own way, since that of a pipeline is its last part's.
  const script = '{ env --ignore-signal=PIPE xl save -p "$1" /dev/stdout 3>&-; echo $? >&3; } | exec cat 3>&-';
  const saver = spawn("sh", ["-c", script, "sh", xenName], {
    env: systemEnvironment,
    stdio: ["ignore", "pipe", "pipe", "pipe"],
  });
  const said = collect(saver.stderr!);
  const status = collect(saver.stdio[3] as Readable);
  const ended = once(saver, "close");
  ended.catch(() => {});
  const cancel = async () => {
    // xl notices at its next write, and runs the guest on.
    saver.stdout!.destroy();
    await ended;
  };
  return {
    cancel,
    async stopped(hasStopped, signal) {
      let result: string | undefined;
      void status.then((text) => {
        result = text;
      });
      try {
        while (!(await hasStopped())) {
          signal.throwIfAborted();
          if (result !== undefined) throw saveFailed(xenName, await said);
          await delay(gonePollMs);
        }
      } catch (error) {
        await cancel();
        throw error;
      }
    },
    async write(to, signal, begun) {
      let failure: unknown;
      to.write(composeHead(head));
      const stream = new ImageStream("xl");
      const sent = pipeline(saver.stdout!, (chunks) => stream.pass(chunks), to, { signal, end: false }).catch(
        (error) => {
          // Cut short by xl, which says why.
          if (!saver.stdout!.readableEnded) failure = error;
          saver.stdout!.destroy();
        },
      );
      await begun?.catch((error) => {
        failure ??= error;
      });
      await sent;
      await ended;
      const isSaved = (await status).trim() === "0" && stream.isEnded;
      if (isSaved && failure === undefined) {
        to.end();
        return await finished(to, { signal });
      }
      to.destroy();
      signal.throwIfAborted();
      throw failure ?? saveFailed(xenName, await said);
    },
  };
}

/** Begins to send a running domain's memory. Rejects where xl does not begin; then everything is as before. */
export async function beginMove(
  xenName: string,
  directory: string,
  head: ImageHead,
  to: Writable,
  signal: AbortSignal,
): Promise<OutgoingMigration> {
  await endHolder(directory);
  const command = composeHolder(directory);
  const mover = spawn("env", ["--ignore-signal=PIPE", "xl", "migrate", "-s", "", xenName, command], {
    env: systemEnvironment,
    // Of its own, so that what ends Xenod does not end it (M1).
    detached: true,
    stdio: ["ignore", "ignore", "pipe", "pipe"],
  });
  mover.unref();
  const said = collect(mover.stderr!);
  const ended = once(mover, "exit");
  ended.catch(() => {});
  const stream = new ImageStream("xl");
  const stopped = Promise.withResolvers<void>();
  stopped.promise.catch(() => {});
  const incoming = mover.stdio[3] as Socket;
  to.write(composeHead(head));
  const sent = pipeline(
    incoming,
    async function* (chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        yield* stream.push(chunk);
        if (stream.isStopped) stopped.resolve();
        if (stream.isEnded) return;
      }
      throw new XenoError("save-failed", "xl ended before the domain's memory did");
    },
    to,
    { signal },
  );
  sent.then(stopped.resolve, stopped.reject);
  const giveUp = async () => {
    incoming.destroy();
    const deadline = performance.now() + settleMs;
    // The holder may be about to start only.
    while (mover.exitCode === null && mover.signalCode === null && performance.now() < deadline) {
      await endHolder(directory);
      await Promise.race([ended, delay(gonePollMs)]);
    }
  };
  const orGiveUp = async (act: Promise<void>) => {
    try {
      await act;
    } catch (error) {
      await giveUp();
      signal.throwIfAborted();
      const isCut = error instanceof XenoError && error.code === "save-failed";
      throw isCut ? saveFailed(xenName, await Promise.race([said, delay(1_000, "", { ref: false })])) : error;
    }
  };
  return { stopped: () => orGiveUp(stopped.promise), finish: () => orGiveUp(sent), cancel: giveUp };
}

/** Builds a domain, paused, of what `saveMemory` or `beginMove` wrote. Where it fails, what was built may be left. */
export async function restoreMemory(
  specification: DomainSpecification,
  image: Readable,
  signal: AbortSignal,
): Promise<void> {
  const { name, directory, memoryMiB, cpus } = specification;
  const files = domainFiles(directory);
  const head = await readHead(image);
  if (head.memoryMiB !== memoryMiB || head.cpus !== cpus)
    throw new XenoError(
      "image-damaged",
      `domain ${name}: the memory image is of ${head.memoryMiB} MiB and ${head.cpus} CPUs, not ${memoryMiB} and ${cpus}`,
    );
  const restorer = spawn(
    "sh",
    ["-c", 'cat <&3 3>&- | xl restore -p -e "$1" /dev/stdin 3>&-', "sh", files.configuration],
    {
      env: systemEnvironment,
      detached: true,
      stdio: ["ignore", "ignore", "pipe", "pipe"],
    },
  );
  const said = collect(restorer.stderr!);
  const into = restorer.stdio[3] as Socket;
  into.on("error", () => {});
  const ended = once(restorer, "close") as Promise<[number | null]>;
  const stop = new AbortController();
  into.write(composeXlHeader());
  let broken: unknown;
  const stream = new ImageStream("image");
  const feeding = pipeline(image, (chunks) => stream.pass(chunks), into, {
    signal: AbortSignal.any([signal, stop.signal]),
  }).catch((error) => {
    if (stop.signal.aborted || error.code === "EPIPE" || error.code === "ECONNRESET") return;
    broken = error;
    killGroup(restorer);
  });
  const [status] = await ended;
  stop.abort();
  await feeding;
  const text = await said;
  await writeFile(files.log, text, { flag: "a" });
  signal.throwIfAborted();
  if (broken !== undefined) throw broken;
  if (status === 0) return;
  const error = explain(`restoring domain ${name}`, text);
  throw error.code === "xl-failed" ? new XenoError("image-damaged", error.message, { hint: error.hint }) : error;
}

function killGroup({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) process.kill(-pid, "SIGKILL");
  } catch {}
}

const maxSaidBytes = 64 * 1024;

async function collect(from: Readable): Promise<string> {
  let text = "";
  try {
    for await (const chunk of from.setEncoding("utf8")) text = (text + chunk).slice(-maxSaidBytes);
  } catch {}
  return text;
}

function saveFailed(xenName: string, said: string): XenoError {
  if (/not found/.test(said) && !/domain/i.test(said)) return missing(`saving ${xenName}`);
  const { code, message, hint } = explain(`saving ${xenName}`, said);
  return new XenoError(code === "guest-silent" ? code : "save-failed", message, {
    hint: hint ?? "the guest goes on here",
  });
}
