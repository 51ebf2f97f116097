/** `npm run bench -- NAME …`: one of the benchmarks. Results on stdout, progress on stderr; exit codes as in control/cli/output.ts. */
import { exitCodes, reportError } from "../control/cli/output.ts";
import { bootUsage, runBoot } from "./boot/command.ts";
import { controlUsage, runControl } from "./control/command.ts";
import { fuseUsage, runFuse } from "./fuse/command.ts";
import { guestUsage, runGuest } from "./guest/command.ts";
import { journalUsage, runJournal } from "./journal/command.ts";
import { movesUsage, runMoves } from "./moves/command.ts";
import { nfsUsage, runNfs } from "./nfs/command.ts";
import { pullUsage, runPull } from "./pull/command.ts";
import { runStore, storeUsage } from "./store/command.ts";
import { runTree, treeUsage } from "./tree/command.ts";
import { UsageError } from "./usage-error.ts";
import { runXen, xenUsage } from "./xen/command.ts";

interface Benchmark {
  readonly usage: string;
  /** Settles with the exit code, once everything is taken down. */
  run(options: string[], signal: AbortSignal): Promise<number>;
}

const benchmarks: Record<string, Benchmark> = {
  boot: { usage: bootUsage, run: runBoot },
  control: { usage: controlUsage, run: runControl },
  journal: { usage: journalUsage, run: runJournal },
  fuse: { usage: fuseUsage, run: runFuse },
  guest: { usage: guestUsage, run: runGuest },
  nfs: { usage: nfsUsage, run: runNfs },
  tree: { usage: treeUsage, run: runTree },
  store: { usage: storeUsage, run: runStore },
  suspend: { usage: movesUsage("suspend"), run: (options, signal) => runMoves("suspend", options, signal) },
  resume: { usage: movesUsage("resume"), run: (options, signal) => runMoves("resume", options, signal) },
  migrate: { usage: movesUsage("migrate"), run: (options, signal) => runMoves("migrate", options, signal) },
  pull: { usage: pullUsage, run: runPull },
  xen: { usage: xenUsage, run: runXen },
};

const [name = "", ...options] = process.argv.slice(2);
const interrupted = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => interrupted.abort(signal));
const usage = Object.values(benchmarks)
  .map((benchmark) => `Usage: npm run bench -- ${benchmark.usage}\n`)
  .join("");

try {
  if (name === "--help" || options.includes("--help")) process.stdout.write(usage);
  else if (Object.hasOwn(benchmarks, name)) process.exitCode = await benchmarks[name].run(options, interrupted.signal);
  else throw new UsageError(name === "" ? "which benchmark?" : `there is no benchmark '${name}'`);
} catch (error) {
  if (error instanceof UsageError) {
    process.stderr.write(`${error.message}\n${usage}`);
    process.exitCode = exitCodes.usage;
  } else if (interrupted.signal.aborted) process.exitCode = exitCodes.interrupted;
  else {
    reportError(options.includes("--json"), error);
    process.exitCode = exitCodes.error;
  }
}
process.exit();
