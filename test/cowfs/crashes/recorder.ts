/**
 * Records what Node's file-system calls do below one directory, and refuses them where it is told to.
 *
 * Below the seam that the journal has for tests (journals/disk.ts): so nothing that a journal does, or will do one day, goes
 * past it; a call that changes something and is not known here throws. It takes the place of functions of `node:fs` in its
 * thread. Syncs cost nothing and asynchronous calls are done at once, so that a seed replays.
 */
import childProcess from "node:child_process";
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import path from "node:path";
import {
  afterKill,
  type DiskImage,
  type DiskStep,
  listImage,
  numberPaths,
  readImage,
  withoutZeros,
} from "./disk-image.ts";

export interface DiskCall {
  readonly kind: "open" | "make" | "rename" | "remove" | "write" | "cut" | "sync";
  readonly path: string;
}

export interface RecordingOptions {
  /** Asked before each call. An error code refuses it; of a write, a number is all the bytes that it takes. */
  readonly onCall?: (call: DiskCall) => string | number | undefined;
}

const real = { ...fs };
const realPromises = { ...fs.promises };
const realSpawnSync = childProcess.spawnSync;
let current: Recording | undefined;
/** What /proc says of the host: another one after a power loss. */
let bootId: string | undefined;

export function setBootId(id: string | undefined): void {
  bootId = id;
}

/** All that happened to a disk, from a moment when everything on it was on stable storage. */
export interface DiskHistory {
  readonly start: DiskImage;
  readonly steps: readonly DiskStep[];
}

export class Recording {
  readonly root: string;
  readonly start: DiskImage;
  readonly steps: DiskStep[];
  readonly #options: RecordingOptions;
  readonly #numbers = new Map<string, number>();
  readonly #open = new Map<number, { node: number; path: string }>();
  #next = 0;

  /** Records from now until `stop` what happens below `root`, which holds what the history has led to. */
  constructor(root: string, history: DiskHistory, options: RecordingOptions = {}) {
    if (current !== undefined) throw new Error("one recording at a time");
    this.root = root;
    this.#options = options;
    this.start = history.start;
    this.steps = [...history.steps];
    const image = afterKill(this.start, this.steps, this.steps.length);
    for (const [at, number] of numberPaths(image)) this.#numbers.set(root + at, number);
    // A node that no name leads to any more keeps its number.
    this.#next = Math.max(...image.keys()) + 1;
    current = this;
  }

  stop(): void {
    current = undefined;
  }

  /** Throws where something happened that was not recorded. Call it when nothing is open any more. */
  requireComplete(): void {
    const expected = listImage(afterKill(this.start, this.steps, this.steps.length));
    const found = listImage(readImage(this.root));
    for (const at of new Set([...expected.keys(), ...found.keys()]))
      if (expected.get(at) !== found.get(at))
        throw new Error(
          `the recorder has missed a change of ${at}: ${expected.get(at)?.length} and ${found.get(at)?.length} bytes`,
        );
  }

  covers(at: unknown): at is string {
    return typeof at === "string" && (at === this.root || at.startsWith(`${this.root}/`));
  }

  has(file: number): boolean {
    return this.#open.has(file);
  }

  open(at: string, flags: string | number = "r", mode?: number): number {
    const bits = typeof flags === "number" ? flags : { r: 0, "r+": 2, w: 0o1101, "w+": 0o1102 }[flags];
    if (bits === undefined) throw new Error(`the recorder does not know the flags ${flags}`);
    const exists = real.existsSync(at);
    if (!exists && (bits & fs.constants.O_CREAT) !== 0) this.ask({ kind: "make", path: at });
    else if (bits !== 0) this.ask({ kind: "open", path: at });
    const file = real.openSync(at, flags, mode);
    if (!exists) this.#make(at, false);
    else if ((bits & fs.constants.O_TRUNC) !== 0) this.steps.push({ kind: "cut", node: this.#number(at), size: 0 });
    this.#open.set(file, { node: this.#number(at), path: at });
    return file;
  }

  close(file: number): void {
    this.#open.delete(file);
  }

  write(file: number, bytes: Buffer, position: number): number {
    const { node, path: at } = this.#open.get(file)!;
    const most = this.ask({ kind: "write", path: at });
    const taken = typeof most === "number" ? bytes.subarray(0, most) : bytes;
    real.writeSync(file, taken, 0, taken.length, position);
    this.steps.push({ kind: "write", node, position, bytes: Buffer.from(withoutZeros(taken)), length: taken.length });
    return taken.length;
  }

  cut(file: number, size: number): void {
    const { node, path: at } = this.#open.get(file)!;
    this.ask({ kind: "cut", path: at });
    real.ftruncateSync(file, size);
    this.steps.push({ kind: "cut", node, size });
  }

  /** What a sync that starts now will cover. */
  startSync(file: number): () => void {
    const { node, path: at } = this.#open.get(file)!;
    const before = this.steps.length;
    try {
      this.ask({ kind: "sync", path: at });
    } catch (error) {
      // A file system that cannot write its names stops altogether: there is no later sync that says otherwise.
      if (!real.fstatSync(file).isDirectory()) this.steps.push({ kind: "dropped", node, before });
      throw error;
    }
    return () => this.steps.push({ kind: "synced", node, before });
  }

  makeDirectory(at: string, mode?: number): void {
    this.ask({ kind: "make", path: at });
    real.mkdirSync(at, { mode });
    this.#make(at, true);
  }

  rename(from: string, to: string): void {
    this.ask({ kind: "rename", path: to });
    real.renameSync(from, to);
    const node = this.#number(from);
    for (const [at, number] of [...this.#numbers])
      if (at === from || at.startsWith(`${from}/`)) {
        this.#numbers.delete(at);
        this.#numbers.set(to + at.slice(from.length), number);
      }
    const [toDirectory, toName] = this.#place(to);
    const [directory, name] = this.#place(from);
    this.steps.push({ kind: "rename", node, directory, name, toDirectory, toName });
  }

  remove(at: string): void {
    this.ask({ kind: "remove", path: at });
    real.rmSync(at, { recursive: true });
    const [directory, name] = this.#place(at);
    this.#numbers.delete(at);
    this.steps.push({ kind: "remove", directory, name });
  }

  link(from: string, to: string): void {
    this.ask({ kind: "make", path: to });
    real.linkSync(from, to);
    const node = this.#number(from);
    this.#numbers.set(to, node);
    const [directory, name] = this.#place(to);
    this.steps.push({ kind: "make", directory, name, node, isDirectory: false });
  }

  ask(call: DiskCall): number | undefined {
    const answer = this.#options.onCall?.(call);
    if (typeof answer === "string")
      throw Object.assign(new Error(`${answer}: the test's disk refuses, ${call.kind} '${call.path}'`), {
        code: answer,
      });
    return answer;
  }

  #make(at: string, isDirectory: boolean): void {
    // A file of that name that was removed is another one.
    this.#numbers.delete(at);
    const [directory, name] = this.#place(at);
    this.steps.push({ kind: "make", directory, name, node: this.#number(at), isDirectory });
  }

  #place(at: string): [directory: number, name: string] {
    return [this.#number(path.dirname(at)), path.basename(at)];
  }

  #number(at: string): number {
    if (!this.#numbers.has(at)) this.#numbers.set(at, this.#next++);
    return this.#numbers.get(at)!;
  }
}

/** By name: what stands in for the function where the recording covers its first argument, a path or an open file. */
const byPath: Record<string, (recording: Recording, at: string, ...rest: never[]) => unknown> = {
  openSync: (recording, at, flags?: string | number, mode?: number) => recording.open(at, flags, mode),
  mkdirSync: (recording, at, options?: { recursive?: boolean; mode?: number }) => {
    if (options?.recursive && real.existsSync(at)) return undefined;
    recording.makeDirectory(at, options?.mode);
    return at;
  },
  renameSync: (recording, from, to: string) => recording.rename(from, to),
  rmSync: (recording, at, options?: { force?: boolean }) => {
    if (options?.force && !real.existsSync(at)) return;
    recording.remove(at);
  },
  linkSync: (recording, from, to: string) => recording.link(from, to),
  copyFileSync: (recording, from, to: string) => writeFile(recording, to, real.readFileSync(from), {}),
  writeFileSync: (recording, at, data: string | Buffer, options?: { mode?: number; flush?: boolean }) =>
    writeFile(recording, at, Buffer.from(data as string), options ?? {}),
};

function writeFile(
  recording: Recording,
  at: string,
  bytes: Buffer,
  { mode, flush = false }: { mode?: number; flush?: boolean },
): void {
  const file = recording.open(at, "w", mode);
  try {
    for (let done = 0; done < bytes.length; ) done += recording.write(file, bytes.subarray(done), done);
    if (flush) recording.startSync(file)();
  } finally {
    recording.close(file);
    real.closeSync(file);
  }
}

const byFile: Record<string, (recording: Recording, file: number, ...rest: never[]) => unknown> = {
  writeSync: (recording, file, data: Buffer | string, ...rest: unknown[]) => {
    if (typeof data === "string") return recording.write(file, Buffer.from(data, "latin1"), rest[0] as number);
    const [start = 0, length = data.length, position] = rest as [number?, number?, number?];
    if (position === undefined) throw new Error("the recorder knows writes at a position only");
    return recording.write(file, data.subarray(start, start + length), position);
  },
  ftruncateSync: (recording, file, size: number) => recording.cut(file, size),
  fsyncSync: (recording, file) => recording.startSync(file)(),
  fdatasyncSync: (recording, file) => recording.startSync(file)(),
  fdatasync: (recording, file, done: (error: Error | null) => void) => {
    let finish: (() => void) | undefined;
    let refused: Error | undefined;
    try {
      finish = recording.startSync(file);
    } catch (error) {
      refused = error as Error;
    }
    setImmediate(() => {
      finish?.();
      done(refused ?? null);
    });
  },
};

const unknown = ["appendFileSync", "truncateSync", "symlinkSync", "rmdirSync", "unlinkSync", "cpSync", "writeFile"];
const unknownByFile = ["ftruncate", "writevSync", "write", "fsync"];
const promised = ["mkdir", "rename", "rm", "link", "copyFile", "writeFile"];

function install(): void {
  const patched = fs as unknown as Record<string, (...args: never[]) => unknown>;
  const original = real as unknown as Record<string, (...args: unknown[]) => unknown>;
  const replace = (name: string, stands: (recording: Recording, ...args: never[]) => unknown, isFile: boolean) => {
    patched[name] = (...args: unknown[]) => {
      const isOurs = isFile ? current?.has(args[0] as number) : current?.covers(args[0]);
      return isOurs ? stands(current!, ...(args as never[])) : original[name](...args);
    };
  };
  for (const [name, stands] of Object.entries(byPath)) replace(name, stands as never, false);
  for (const [name, stands] of Object.entries(byFile)) replace(name, stands as never, true);
  const refuse = (name: string) => () => {
    throw new Error(`the recorder does not know ${name}`);
  };
  for (const name of unknown) replace(name, refuse(name), false);
  for (const name of unknownByFile) replace(name, refuse(name), true);
  fs.closeSync = (file) => {
    current?.close(file);
    real.closeSync(file);
  };
  fs.readFileSync = ((at: string, ...rest: []) =>
    bootId !== undefined && at === "/proc/sys/kernel/random/boot_id"
      ? bootId
      : real.readFileSync(at, ...rest)) as typeof fs.readFileSync;

  const promises = fs.promises as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>;
  const originalPromises = realPromises as unknown as typeof promises;
  for (const name of promised)
    promises[name] = async (...args) =>
      current?.covers(args[0]) ? patched[`${name}Sync`](...(args as never[])) : originalPromises[name](...args);
  promises.open = async (...args) => {
    if (!current?.covers(args[0])) return originalPromises.open(...args);
    const file = patched.openSync(...(args as never[])) as number;
    const sync = async () => void patched.fsyncSync(file as never);
    return { fd: file, sync, datasync: sync, close: async () => fs.closeSync(file) };
  };
  // The lock is not what is looked at, and running flock(1) takes longer than opening a journal.
  childProcess.spawnSync = ((program: string, ...rest: []) =>
    current !== undefined && program === "flock"
      ? { status: 0 }
      : realSpawnSync(program, ...rest)) as typeof childProcess.spawnSync;
  syncBuiltinESMExports();
}

install();
