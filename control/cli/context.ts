import type { Command } from "commander";
import { XenoError } from "../../cowfs/errors.ts";
import { findHome, type Home } from "./home.ts";

export interface Context {
  readonly json: boolean;
  readonly home: Home;
  /** Aborts on SIGINT, SIGTERM and SIGHUP. */
  readonly signal: AbortSignal;
}

const signals = new WeakMap<Command, AbortSignal>();

/** Said once of a program, to all of its commands. */
export function setSignal(program: Command, signal: AbortSignal): void {
  signals.set(program, signal);
}

/** What every command gets beside its own arguments. */
export function readContext(command: Command): Context {
  const { json, store } = command.optsWithGlobals<{ json?: boolean; store?: string }>();
  let root = command;
  while (root.parent !== null) root = root.parent;
  return { json: json === true, home: findHome(store), signal: signals.get(root) ?? new AbortController().signal };
}

/** Settles when the signal aborts: the orderly end of a command that runs until Ctrl-C. */
export async function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}

/** Throws `needs-root`; before anything is made that would be left behind. */
export function requireRoot(what: string, why: string): void {
  if (process.geteuid?.() === 0) return;
  throw new XenoError("needs-root", `${what} needs root, for ${why}`, { hint: "Run it with sudo." });
}
