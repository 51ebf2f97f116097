import type { Command } from "commander";
import { findHome, type Home } from "./home.ts";

export interface Context {
  readonly json: boolean;
  readonly home: Home;
  /** Aborts on SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
}

/** What every command gets beside its own arguments. */
export function readContext(command: Command): Context {
  const { json, store } = command.optsWithGlobals<{ json?: boolean; store?: string }>();
  let root = command;
  while (root.parent !== null) root = root.parent;
  const { interrupted } = root as Command & { interrupted?: AbortSignal };
  return { json: json === true, home: findHome(store), signal: interrupted ?? new AbortController().signal };
}
