/**
 * The `xeno` command.
 *
 * SIGINT, SIGTERM and SIGHUP end it in order: what a command has under way is taken back. A second one ends it at once,
 * and what it mounted goes with it (cowfs/fuse/mount.ts).
 */
import { setImmediate as turn } from "node:timers/promises";
import { CommanderError } from "commander";
import { exitCodes, printError, reportError } from "./output.ts";
import { createProgram } from "./program.ts";

const interrupted = new AbortController();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
  process.on(signal, () => {
    if (interrupted.signal.aborted) process.exit(exitCodes.interrupted);
    interrupted.abort(signal);
  });
// Whoever reads our output may have seen enough, as `head` does.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => process.exit(exitCodes.error));

const program = await createProgram(process.argv.slice(2), interrupted.signal);
// Wrong usage may be found before the options are.
const json = process.argv.includes("--json");
try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = explain(error);
}
// An output that refused what was written says so in the next turn.
await turn();
process.exit();

function explain(error: unknown): number {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return 0;
    // The help itself, where a command was to be named.
    if (error.code === "commander.help") return exitCodes.usage;
    const message = error.message.replace(/^error: /, "").replaceAll("\n", " ");
    printError(json, { code: "usage", message, hint: "Add --help for the usage." });
    return exitCodes.usage;
  }
  if (interrupted.signal.aborted) {
    printError(json, { code: "interrupted", message: "interrupted" });
    return exitCodes.interrupted;
  }
  reportError(json, error);
  return exitCodes.error;
}
