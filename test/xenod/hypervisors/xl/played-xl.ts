/**
 * Plays the xl that moves memory, as a process of its own: `xl save`, `migrate` and `restore` with the messages, the order and the ends of
 * Xen 4.17's (tools/xl/xl_saverestore.c and xl_migrate.c). What its domains do, and when it may go on, a PlayedXen says over a socket.
 */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { openSync, readFileSync, writeSync } from "node:fs";
import { connect } from "node:net";
import { basename } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { ImageStream } from "../../../../xenod/hypervisors/xl/image-stream.ts";
import { composeStream, findMemory } from "./played-stream.ts";

export type Question =
  /** Another command, or a tool of xenstore's. */
  | { readonly ask: "run"; readonly options: readonly string[] }
  /** How far it is: it goes on with the answer. */
  | { readonly ask: "phase"; readonly phase: string; readonly domain: string; readonly pid: number }
  /** What `memory` is answered to. */
  | { readonly ask: "memory"; readonly domain: string }
  /** Asks the guest to stop itself: `isDone` false where it did not. */
  | { readonly ask: "stop"; readonly domain: string; readonly verb: string; readonly pid: number }
  | { readonly ask: "resume"; readonly domain: string; readonly isPaused: boolean }
  /** Of a configuration's text: `domain` is its number. */
  | { readonly ask: "build"; readonly configuration: string }
  | { readonly ask: "fill"; readonly domain: string; readonly memory: string };

export interface Answer {
  readonly isDone?: boolean;
  readonly printed?: string;
  readonly memory?: string;
  readonly domain?: string;
  /** What it complains of, and fails. */
  readonly failed?: string;
}

type Ask = (question: Question) => Promise<Answer>;

/** `argv`: of the script that is called. Ends the process. */
export async function playXl(socket: string, [, script = "", ...options]: readonly string[]): Promise<void> {
  const xen = connect(socket);
  await once(xen, "connect");
  // Who plays Xen has ended, however that was.
  xen.once("close", () => process.exit(1));
  const answers = createInterface({ input: xen })[Symbol.asyncIterator]();
  const ask: Ask = async (question) => {
    xen.write(`${JSON.stringify(question)}\n`);
    const { value } = await answers.next();
    return JSON.parse(value ?? "{}");
  };
  const program = basename(script);
  const verb = options.find((option) => !option.startsWith("-"));
  if (program === "xl" && verb === "save") await save(ask, options);
  else if (program === "xl" && verb === "migrate") await migrate(ask, options);
  else if (program === "xl" && verb === "restore") await restore(ask, options);
  else {
    const { printed = "", failed } = await ask({
      ask: "run",
      options: program === "xl" ? options : [program, ...options],
    });
    if (failed !== undefined) fail(failed);
    writeSync(1, printed);
  }
  process.exit(0);
}

type Write = (bytes: Buffer) => Promise<void>;

/** A save waits for who takes its memory: no pipe holds it. The last of a move may be in one when nobody takes it any more. */
const lastBytes = { save: 1024 * 1024, migrate: 0 };

/** libxl_domain_suspend. Rejects with what it complains of. */
async function suspend(ask: Ask, verb: "save" | "migrate", domain: string, write: Write): Promise<void> {
  const reach = (phase: string) => ask({ ask: "phase", phase: `${verb} ${phase}`, domain, pid: process.pid });
  const { memory } = await ask({ ask: "memory", domain });
  const { live, stopped } = composeStream({ memory, lastBytes: lastBytes[verb] });
  await write(live);
  await reach("begun");
  const { isDone } = await ask({ ask: "stop", domain, verb, pid: process.pid });
  if (!isDone)
    throw new Error("guest didn't acknowledge suspend, cancelling request\nlibxl_domain_suspend failed (rc=-28)");
  await reach("stopped");
  await write(stopped);
}

async function save(ask: Ask, options: readonly string[]): Promise<void> {
  const [leavesPaused, leavesRunning] = [options.includes("-p"), options.includes("-c")];
  const [domain = "", file = ""] = options.slice(1).filter((option) => !option.startsWith("-"));
  const to = openSync(file, "w");
  const write = async (bytes: Buffer) => {
    for (let done = 0; done < bytes.length; ) done += writeSync(to, bytes, done);
  };
  // Where this cannot be written, it just ends.
  await write(composeStream().xl);
  try {
    await suspend(ask, "save", domain, write);
  } catch (error) {
    await ask({ ask: "resume", domain, isPaused: false });
    fail(`${(error as Error).message}\nFailed to save domain, resuming domain`);
  }
  if (leavesPaused || leavesRunning) await ask({ ask: "resume", domain, isPaused: leavesPaused });
  else await ask({ ask: "run", options: ["destroy", domain] });
}

/** -s '' DOMAIN COMMAND */
async function migrate(ask: Ask, options: readonly string[]): Promise<void> {
  const [domain = "", command = ""] = options.slice(-2);
  // Where its driver waits for the stream, too.
  const way = spawn("sh", ["-c", command], { stdio: ["pipe", "pipe", "inherit", 3] });
  const { stdin, stdout } = way as ChildProcessWithoutNullStreams;
  stdin.on("error", () => {});
  const write = (bytes: Buffer) =>
    new Promise<void>((resolve, reject) => stdin.write(bytes, (error) => (error ? reject(error) : resolve())));
  const said = stdout[Symbol.asyncIterator]();
  await expect(said, "xl migration receiver ready, send binary domain data.\n");
  await write(composeStream().xl);
  try {
    await suspend(ask, "migrate", domain, write);
    await ask({ ask: "phase", phase: "migrate sent", domain, pid: process.pid });
    await expect(said, "domain received, ready to unpause");
  } catch (error) {
    const { message } = error as Error;
    if (message.includes("rc=-28")) fail(`${message}\nMigration failed, failed to suspend at sender.`);
    await ask({ ask: "resume", domain, isPaused: false });
    fail(`migration sender: ${message}\nMigration failed, resuming at sender.`);
  }
  // The driver's holder never says that the domain was received.
  fail("the permission to go was asked for");
}

async function expect(from: AsyncIterator<Buffer>, message: string): Promise<void> {
  for (let said = ""; said.length < message.length; ) {
    const { value } = await from.next();
    if (value === undefined) throw new Error("unexpected EOF on migration ack stream");
    said += value;
    if (!message.startsWith(said)) throw new Error(`${said} on migration ack stream`);
  }
}

/** -p -e CONFIGURATION /dev/stdin */
async function restore(ask: Ask, options: readonly string[]): Promise<void> {
  const [file = "", from = ""] = options.slice(-2);
  if (from !== "/dev/stdin") fail(`open ${from}`);
  let domain: string | undefined;
  const stream = new ImageStream("xl");
  const taken: Buffer[] = [];
  const reach = (phase: string) =>
    ask({ ask: "phase", phase: `restore ${phase}`, domain: domain ?? "", pid: process.pid });
  await reach("begun");
  try {
    for await (const chunk of process.stdin as Readable & AsyncIterable<Buffer>) {
      taken.push(...stream.push(chunk));
      if (taken.length === 0 || domain !== undefined) continue;
      ({ domain } = await ask({ ask: "build", configuration: readFileSync(file, "utf8") }));
      await reach("built");
    }
    if (!stream.isEnded) throw new Error("Failed to read Record Header from stream (0 = Success): Internal error");
  } catch (error) {
    if (domain !== undefined) await ask({ ask: "run", options: ["destroy", domain] });
    fail(`xc: error: ${(error as Error).message}`);
  }
  await ask({ ask: "fill", domain: domain!, memory: findMemory(Buffer.concat(taken)) });
  await reach("filled");
}

function fail(complaint: string): never {
  writeSync(2, `${complaint}\n`);
  process.exit(1);
}
