/**
 * One opener at a time (J6).
 *
 * Node has no flock(2), but a lock belongs to the open file description: flock(1) takes it on an inherited descriptor
 * and exits, and it stays ours until this process closes the file or dies, however it dies.
 */
import { spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import { XenoError } from "../errors.ts";

const pidBytes = 10;
/**
 * A child that another thread is just starting shares our descriptors until it executes its program: a lock that was
 * let go may stand for that moment.
 */
const patienceSeconds = "0.5";

/** Locks `file` and returns the descriptor that holds the lock. Throws `in-use` when another process has it. */
export function takeLock(file: string, what: string): number {
  const descriptor = openLockFile(file);
  const { status, error } = spawnSync("flock", flockArguments(patienceSeconds), { stdio: shareDescriptor(descriptor) });
  return concludeLock(file, what, descriptor, status, error);
}

/** The same for who can wait: its turn comes within `patienceMs`, or it throws `in-use`. The event loop goes on. */
export async function waitForLock(file: string, what: string, patienceMs: number): Promise<number> {
  const descriptor = openLockFile(file);
  const { status, error } = await runFlock(descriptor, flockArguments(String(patienceMs / 1000)));
  return concludeLock(file, what, descriptor, status, error);
}

/**
 * The same of a directory, which takes no room on a full disk and names no holder. `isShared`: with others who share it. Rejects with
 * the system's error where there is none.
 */
export async function waitForDirectoryLock(
  directory: string,
  what: string,
  patienceMs: number,
  { isShared = false } = {},
): Promise<number> {
  const descriptor = fs.openSync(directory, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
  const words = [...(isShared ? ["--shared"] : []), ...flockArguments(String(patienceMs / 1000))];
  const { status, error } = await runFlock(descriptor, words);
  if (status === 0) return descriptor;
  fs.closeSync(descriptor);
  throw explainFailure(what, "another process", error);
}

function runFlock(descriptor: number, words: readonly string[]): Promise<{ status: number | null; error?: Error }> {
  const child = spawn("flock", words, { stdio: shareDescriptor(descriptor) });
  const { promise, resolve } = Promise.withResolvers<{ status: number | null; error?: Error }>();
  child.once("error", (error) => resolve({ status: null, error }));
  child.once("exit", (status) => resolve({ status }));
  return promise;
}

function openLockFile(file: string): number {
  return fs.openSync(file, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o600);
}

function flockArguments(seconds: string): string[] {
  return ["--timeout", seconds, "3"];
}

function shareDescriptor(descriptor: number): ("ignore" | number)[] {
  return ["ignore", "ignore", "ignore", descriptor];
}

function concludeLock(file: string, what: string, descriptor: number, status: number | null, error?: Error): number {
  if (status === 0) {
    tellHolder(descriptor);
    return descriptor;
  }
  const holder = fs.readFileSync(file, "latin1").trim();
  fs.closeSync(descriptor);
  throw explainFailure(what, `process ${holder || "unknown"}`, error);
}

function explainFailure(what: string, holder: string, error?: Error): XenoError {
  if (error !== undefined)
    return new XenoError("flock-missing", `cannot run flock(1) to lock ${what}: ${error.message}`, {
      hint: "Install the Debian package util-linux.",
    });
  return new XenoError("in-use", `${what} is in use by ${holder}`, {
    hint: "One process opens it at a time: stop that one first.",
  });
}

/** In place and at one length. The lock stands without it: others are then told of a process unknown. */
function tellHolder(descriptor: number): void {
  try {
    fs.writeSync(descriptor, `${String(process.pid).padEnd(pidBytes)}\n`, 0);
  } catch (error) {
    if (["ENOSPC", "EDQUOT"].includes((error as NodeJS.ErrnoException).code ?? "")) return;
    fs.closeSync(descriptor);
    throw error;
  }
}
