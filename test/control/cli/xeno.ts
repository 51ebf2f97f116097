/** The real `xeno` command in an `$XENO_HOME` of its own, as a user types it. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { ExecutionContext } from "ava";
import { execa } from "execa";
import { importTemplate } from "../../../templates/import/import-template.ts";
import { namespacePath } from "../../../xenod/links/namespaces.ts";
import { createKey, loadKey, readTrust, trustKey } from "../../../xenostore/keys/key-ring.ts";
import { openDirectoryStore } from "../../../xenostore/stores/directory-store.ts";

type Teardown = Pick<ExecutionContext, "teardown">;

const checkout = join(import.meta.dirname, "../../..");
const program = join(checkout, "control/cli/main.ts");
const deadlineMs = 300_000;

export interface Outcome {
  readonly code: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

export interface SpawnOptions {
  readonly env?: NodeJS.ProcessEnv;
  /** The network namespace that is the command's host. */
  readonly namespace?: string;
}

export interface RunningCommand {
  /** What it printed first, as JSON. */
  readonly result: Record<string, string>;
  readonly process: ChildProcess;
  /** What it has printed on stderr so far. */
  stderr(): string;
  /** Sends the signal, and settles with the exit code. */
  end(signal?: NodeJS.Signals): Promise<number | null>;
}

export class Xeno {
  /** `$XENO_HOME`, and beside it room for the test's own files. */
  readonly home: string;
  readonly directory: string;
  readonly #t: Teardown;

  constructor(t: Teardown, directory: string, home = join(directory, "home")) {
    this.#t = t;
    this.directory = directory;
    this.home = home;
  }

  at(...parts: string[]): string {
    return join(this.directory, ...parts);
  }

  /** Runs a command to its end. `as` is a user to run it as. */
  async run(args: readonly string[], options: { env?: NodeJS.ProcessEnv; as?: number } = {}): Promise<Outcome> {
    const [command, ...rest] = commandLine(args, options.as);
    const { exitCode, stdout, stderr } = await execa(command, rest, {
      cwd: this.directory,
      env: { ...this.env, ...options.env },
      reject: false,
      stdin: "ignore",
      timeout: deadlineMs,
    });
    return { code: exitCode, stdout, stderr };
  }

  /** Runs a command that must succeed; returns what it printed as JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: each command has its own result.
  async json(...args: string[]): Promise<any> {
    const { code, stdout, stderr } = await this.run([...args, "--json"]);
    if (code !== 0) throw new Error(`xeno ${args.join(" ")} ended with ${code}: ${stderr}`);
    return JSON.parse(stdout);
  }

  /** Runs a command that must fail with one line and an exit code; returns the error as programs get it. */
  async fail(
    args: readonly string[],
    options: { code?: number; as?: number } = {},
  ): Promise<{ code: string; message: string; hint?: string }> {
    const { code, stdout, stderr } = await this.run([...args, "--json"], options);
    const line = stderr.split("\n").at(-1)!;
    if (code !== (options.code ?? 1) || stdout !== "" || !line.startsWith('{"error":'))
      throw new Error(`xeno ${args.join(" ")} ended with ${code}: ${stdout}${stderr}`);
    return JSON.parse(line).error;
  }

  /** Starts a command that goes on; settles with its result, or rejects when it ends before. Ends with the test. */
  async start(args: readonly string[], options: SpawnOptions = {}): Promise<RunningCommand> {
    const child = this.spawn([...args, "--json"], options);
    let stderr = "";
    child.stderr!.on("data", (text) => {
      stderr += text;
    });
    const ended = once(child, "close").then(([code]) => code as number | null);
    this.#t.teardown(async () => {
      child.kill("SIGTERM");
      await Promise.race([ended, delay(10_000, undefined, { ref: false }).then(() => child.kill("SIGKILL"))]);
      await ended;
    });
    const line = await Promise.race([
      readLine(child),
      ended.then((code) => Promise.reject(new Error(`xeno ${args.join(" ")} ended with ${code}: ${stderr}`))),
    ]);
    return {
      result: JSON.parse(line),
      process: child,
      stderr: () => stderr,
      async end(signal = "SIGINT") {
        child.kill(signal);
        return await ended;
      },
    };
  }

  /** A bare process, for tests that end it at some moment. */
  spawn(args: readonly string[], options: SpawnOptions = {}): ChildProcess {
    const inside = options.namespace === undefined ? [] : ["nsenter", `--net=${namespacePath(options.namespace)}`];
    const [command, ...rest] = [...inside, ...commandLine(args)];
    return spawn(command, rest, {
      cwd: this.directory,
      env: { ...process.env, ...this.env, ...options.env },
      stdio: ["pipe", "pipe", "pipe"],
    });
  }

  /** Writes text files by path under a folder of the test's own; returns the folder. */
  async write(folder: string, files: Readonly<Record<string, string | Buffer>>): Promise<string> {
    for (const [name, content] of Object.entries(files)) {
      const file = this.at(folder, name);
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, content);
    }
    return this.at(folder);
  }

  /** What `xeno template import NAME --directory` does, without the process. */
  async importFiles(
    name: string,
    files: Readonly<Record<string, string | Buffer>>,
    executables: readonly string[] = [],
  ): Promise<string> {
    const directory = await this.write(`sources/${name}`, files);
    for (const file of executables) await chmod(join(directory, file), 0o755);
    const store = await openDirectoryStore(join(this.home, "store"));
    const keys = join(this.home, "keys");
    const key = await loadKey(keys, "templates").catch(() => createKey(keys, "templates"));
    await trustKey(keys, "templates", key.publicKey);
    await importTemplate({ kind: "directory", directory }, { table: { store, trust: readTrust(keys) }, key, name });
    return `template://${name}/current`;
  }

  /** What `xeno key new` does. */
  async newKey(name: string): Promise<void> {
    const keys = join(this.home, "keys");
    await trustKey(keys, name, (await createKey(keys, name)).publicKey);
  }

  get env(): NodeJS.ProcessEnv {
    return { XENO_HOME: this.home, XENO_STORE: undefined, NO_COLOR: "1" };
  }
}

export async function makeXeno(t: Teardown): Promise<Xeno> {
  const directory = await mkdtemp(join(tmpdir(), "xc-"));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  return new Xeno(t, directory);
}

/** Polls; throws when the deadline passes. */
export async function poll(what: string, isSo: () => Promise<boolean> | boolean, withinMs = 60_000): Promise<void> {
  const end = performance.now() + withinMs;
  while (!(await isSo())) {
    if (performance.now() > end) throw new Error(`waited ${withinMs} ms in vain for ${what}`);
    await delay(20);
  }
}

function commandLine(args: readonly string[], as?: number): string[] {
  const command = [process.execPath, program, ...args];
  if (as === undefined) return command;
  // The checkout may lie in root's home: reading is the one thing that this user keeps of root's.
  const reads = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"];
  return ["setpriv", `--reuid=${as}`, `--regid=${as}`, "--clear-groups", ...reads, ...command];
}

function readLine(child: ChildProcess): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  let text = "";
  child.stdout!.on("data", (part) => {
    text += part;
    const end = text.indexOf("\n");
    if (end >= 0) resolve(text.slice(0, end));
  });
  return promise;
}
