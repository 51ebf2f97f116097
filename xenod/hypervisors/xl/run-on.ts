/**
 * A guest that stopped itself for an xl that was killed runs on here.
 *
 * xl 4.17 has no command for that, but one that cannot write what it saves runs the guest on (save_domain in tools/xl/xl_saverestore.c): so
 * an `xl save` is begun, and cut short. It asks the guest to stop itself first, as every xl does; a guest that has stopped cannot answer, so
 * its answer is given for it: the request is taken away (docs/misc/xenstore-paths.pandoc, control/shutdown). Invariant (M3): never while
 * another xl is at work on the guest, since that may run it elsewhere.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile } from "node:fs/promises";
import { basename } from "node:path";
import type { Readable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { execa } from "execa";
import { ImageStream } from "./image-stream.ts";

const pollMs = 100;
/** Of an xl that lets go of a guest: it notices at its next write. */
const busyMs = 60_000;

/** A guest whose memory xl moves. */
export interface XlGuest {
  /** Xen's, as xl takes it too: somebody else's xl may have changed its name. */
  readonly id: number;
  readonly xenName: string;
  readonly directory: string;
  /** In which xl is found. */
  readonly environment: NodeJS.ProcessEnv;
  /** Whether it has stopped itself, as xl asked it to. */
  hasStopped(): Promise<boolean>;
}

/** Settles once no xl has anything to do with it: it runs, or nothing could be done. */
export async function runOn(guest: XlGuest): Promise<void> {
  // (M3)
  if (!(await waitForOthers(guest))) return;
  // A pipe, since xl opens what it writes to by name. -c: one that is saved all the same runs on, too.
  const script = 'env --ignore-signal=PIPE xl save -c "$1" /dev/stdout | exec cat';
  const saver = spawn("sh", ["-c", script, "sh", String(guest.id)], {
    env: guest.environment,
    stdio: ["ignore", "pipe", "ignore"],
  });
  let isOver = false;
  const over = once(saver, "close").then(() => {
    isOver = true;
  });
  await readBeginning(saver.stdout!);
  while (!isOver) {
    if (await guest.hasStopped().catch(() => false)) await answerFor(guest);
    await Promise.race([over, delay(pollMs)]);
  }
}

/** Up to where a failure has xl run the guest on: before that it just ends. */
async function readBeginning(saved: Readable): Promise<void> {
  const stream = new ImageStream("xl");
  try {
    for await (const chunk of saved) if (stream.push(chunk).length > 0) break;
  } catch {
    // xl does not save it, and has said all that it does.
  }
  saved.destroy();
}

async function answerFor({ id, environment }: XlGuest): Promise<void> {
  const request = `/local/domain/${id}/control/shutdown`;
  const options = { env: environment, stdin: "ignore", reject: false } as const;
  const { stdout } = await execa("xenstore-read", [request], options);
  if (stdout === "suspend") await execa("xenstore-write", [request, ""], options);
}

/** False where one does not let go of the guest. */
async function waitForOthers(guest: XlGuest): Promise<boolean> {
  for (const until = performance.now() + busyMs; await isBusy(guest); await delay(pollMs))
    if (performance.now() > until) return false;
  return true;
}

const movingVerbs = ["save", "migrate"];
/** run_helper in tools/libs/light/libxl_save_callout.c. */
const saveHelper = "libxl-save-helper";

/** Whether some xl saves or sends it. */
async function isBusy({ id, xenName }: XlGuest): Promise<boolean> {
  const processes = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const commands = await Promise.all(
    processes.map((pid) => readFile(`/proc/${pid}/cmdline`, "latin1").catch(() => "")),
  );
  return commands.some((command) => {
    const words = command.split("\0");
    // What writes the memory for xl, and outlives it by a moment: its words are a descriptor, the domain's number and flags.
    if (basename(words[0] ?? "") === saveHelper) return words[1] === "--save-domain" && words[3] === String(id);
    // Debian's xl is a script at first.
    const at = words.slice(0, 2).findIndex((word) => basename(word) === "xl");
    if (at < 0 || !movingVerbs.includes(words[at + 1] ?? "")) return false;
    return words.slice(at + 2).some((word) => word === String(id) || word === xenName);
  });
}
