/**
 * A guest's memory out of Xen and into it: `xl save`, `xl migrate` and `xl restore`, with pipes of ours at their ends.
 *
 * Invariant (M2): until all was sent, the end of our pipe ends the transfer, and the guest runs on; for what follows see holder.ts, and
 * for an xl that was killed run-on.ts.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import type { Socket } from "node:net";
import type { Readable, Writable } from "node:stream";
import { finished, pipeline } from "node:stream/promises";
import { setTimeout as delay } from "node:timers/promises";
import { XenoError } from "../../../cowfs/errors.ts";
import type { DomainSpecification, OutgoingMigration } from "../hypervisor.ts";
import { domainFiles } from "./configuration.ts";
import { composeHolder, endHolder } from "./holder.ts";
import { composeHead, composeXlHeader, type ImageHead, ImageStream, readHead } from "./image-stream.ts";
import { runOn, type XlGuest } from "./run-on.ts";
import { explain, missing } from "./run-xl.ts";

const settleMs = 300_000;
const gonePollMs = 100;

/** A guest that xl is saving, or is about to. */
export interface Saving {
  /** Settles once the guest has stopped itself. Rejects as `write` does; then it runs. */
  stopped(signal: AbortSignal): Promise<void>;
  /** Settles once all is written; the guest is paused then. `begun`: what makes it run. Where it fails, the guest may run. */
  write(to: Writable, signal: AbortSignal, begun?: Promise<unknown>): Promise<void>;
  /** Settles once xl has let it run on. */
  cancel(): Promise<void>;
}

/**
 * `xl save` asks the guest to stop itself, so that it has to run for that; a paused one does it once it is unpaused. xl writes no
 * more than a pipe holds until `write` takes it.
 */
export function beginSave(guest: XlGuest, head: ImageHead): Saving {
  const { xenName } = guest;
  // A pipe, since xl opens what it writes to by name; its status goes its own way, since that of a pipeline is its last part's.
  const script = '{ env --ignore-signal=PIPE xl save -p "$1" /dev/stdout 3>&-; echo $? >&3; } | exec cat 3>&-';
  const saver = spawn("sh", ["-c", script, "sh", String(guest.id)], {
    env: guest.environment,
    stdio: ["ignore", "pipe", "pipe", "pipe"],
  });
  const said = collect(saver.stderr!);
  const status = collect(saver.stdio[3] as Readable);
  const ended = once(saver, "close");
  ended.catch(() => {});
  /** Where xl fails, it runs the guest on. */
  const settle = async () => {
    await ended;
    if (wasKilled(await status)) await runOn(guest);
  };
  const cancel = async () => {
    // xl notices at its next write.
    saver.stdout!.destroy();
    await settle();
  };
  return {
    cancel,
    async stopped(signal) {
      let result: string | undefined;
      void status.then((text) => {
        result = text;
      });
      try {
        while (!(await guest.hasStopped())) {
          signal.throwIfAborted();
          if (result !== undefined) throw saveFailed(xenName, tellEnd(result, await said));
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
      await settle();
      signal.throwIfAborted();
      throw failure ?? saveFailed(xenName, tellEnd(await status, await said));
    },
  };
}

const killed = "xl was killed";

/** As a shell tells it; nothing where that was killed, too. */
function wasKilled(status: string): boolean {
  return status.trim() === "" || Number(status) > 128;
}

function tellEnd(status: string, said: string): string {
  return wasKilled(status) ? killed : said;
}

/** Begins to send a running domain's memory. Rejects where xl does not begin; then everything is as before. */
export async function beginMove(
  guest: XlGuest,
  head: ImageHead,
  to: Writable,
  signal: AbortSignal,
): Promise<OutgoingMigration> {
  const { xenName, directory, environment } = guest;
  await endHolder(directory);
  const command = composeHolder(directory);
  const mover = spawn("env", ["--ignore-signal=PIPE", "xl", "migrate", "-s", "", String(guest.id), command], {
    env: environment,
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
  const xlEnded = new XenoError("save-failed", "xl ended before the domain's memory did");
  const passed = pipeline(
    incoming,
    async function* (chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        yield* stream.push(chunk);
        if (stream.isStopped) stopped.resolve();
        if (stream.isEnded) return;
      }
      throw xlEnded;
    },
    to,
    { signal },
  );
  passed.catch(() => {});
  // With a generator in it, Node's pipeline waits for ever where the other side has closed the socket in order.
  const closed = new Promise<never>((_resolve, reject) =>
    to.once("close", () => {
      if (stream.isEnded && to.writableFinished) return;
      const gone = new XenoError("save-failed", `who takes the memory of ${xenName} has closed its end`, {
        hint: "the guest goes on here; the other XenoServer's log says why",
      });
      reject(to.errored ?? gone);
    }),
  );
  const sent = Promise.race([passed, closed]);
  sent.then(stopped.resolve, stopped.reject);
  const letGo = async () => {
    incoming.destroy();
    const deadline = performance.now() + settleMs;
    // The holder may be about to start only.
    do {
      await endHolder(directory);
      await Promise.race([ended, delay(gonePollMs)]);
    } while (mover.exitCode === null && mover.signalCode === null && performance.now() < deadline);
    if (mover.signalCode !== null) await runOn(guest);
  };
  let given: Promise<void> | undefined;
  const giveUp = () => {
    given ??= letGo();
    return given;
  };
  const orGiveUp = async (act: Promise<void>) => {
    try {
      await act;
    } catch (error) {
      await giveUp();
      signal.throwIfAborted();
      if (error !== xlEnded) throw error;
      if (mover.signalCode !== null) throw saveFailed(xenName, killed);
      throw saveFailed(xenName, await Promise.race([said, delay(1_000, "", { ref: false })]));
    }
  };
  return { stopped: () => orGiveUp(stopped.promise), finish: () => orGiveUp(sent), cancel: giveUp };
}

/** Builds a domain, paused, of what `saveMemory` or `beginMove` wrote. Where it fails, what was built may be left. */
export async function restoreMemory(
  specification: DomainSpecification,
  image: Readable,
  environment: NodeJS.ProcessEnv,
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
      env: environment,
      detached: true,
      stdio: ["ignore", "ignore", "pipe", "pipe"],
    },
  );
  const said = collect(restorer.stderr!);
  const into = restorer.stdio[3] as Socket;
  const stop = new AbortController();
  // Who fails first is to blame: the pipeline ends the others with the same error.
  let refusal: unknown;
  let broken: unknown;
  into.on("error", (error) => {
    if (error !== broken) refusal = error;
  });
  const blame = (error: unknown) => {
    if (error !== refusal && !stop.signal.aborted) broken ??= error;
  };
  image.once("error", blame);
  const ended = once(restorer, "close") as Promise<[number | null]>;
  into.write(composeXlHeader());
  const stream = new ImageStream("image");
  const passed = async function* (chunks: AsyncIterable<Buffer>) {
    try {
      yield* stream.pass(chunks);
    } catch (error) {
      blame(error);
      throw error;
    }
  };
  const feeding = pipeline(image, passed, into, { signal: AbortSignal.any([signal, stop.signal]) }).catch((error) => {
    blame(error);
    // Else xl has ended, and says why.
    if (broken !== undefined) killGroup(restorer);
  });
  const [status] = await ended;
  stop.abort();
  await feeding;
  const text = await said;
  await writeFile(files.log, text, { flag: "a" });
  signal.throwIfAborted();
  if (broken !== undefined) throw broken;
  if (status === 0) return;
  if (status === null || wasKilled(String(status)))
    throw new XenoError("xl-failed", `restoring domain ${name}: ${killed}`, { hint: "try again" });
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
