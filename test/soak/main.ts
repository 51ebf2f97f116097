/**
 * `npm run soak -- NAME`: what is too long for `npm test`. Progress on stderr, a summary on stdout.
 *
 * Exit codes: 0 nothing was found; 1 something was, told with the seed that shows it again; 2 wrong usage; 130
 * interrupted, with nothing found until then.
 */
import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";
import { exitCodes } from "../../control/cli/output.ts";
import { formatCounts, type Soak, type SoakRun } from "./soak.ts";
import { soaks } from "./soaks.ts";

const progressMs = 10_000;
const usage = `Usage: npm run soak -- NAME [--minutes N] [--seed S] [--json]

${Object.entries(soaks)
  .map(([name, { about, minutes }]) => `  ${name.padEnd(8)}${about} (${minutes} minutes unless told otherwise)`)
  .join("\n")}

A failure is told with its seed: --seed with that one shows it again. Ctrl-C ends in order and sums up.
`;

async function main(): Promise<number> {
  let parsed: ReturnType<typeof parseOptions>;
  try {
    parsed = parseOptions();
  } catch (error) {
    process.stderr.write(`soak: ${(error as Error).message}\n\n${usage}`);
    return exitCodes.usage;
  }
  if (parsed === undefined) {
    process.stdout.write(usage);
    return 0;
  }
  const { name, soak, minutes, seed, json } = parsed;
  const interrupted = new AbortController();
  // For good: where nobody else listened, execa would end the process with its children.
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => interrupted.abort());
  const started = performance.now();
  process.stderr.write(`soak ${name}: for ${minutes} minutes, from seed ${seed} on\n`);
  const { counts, failures } = await soak.run(startRun(name, minutes, seed, interrupted.signal));
  const seconds = Math.round((performance.now() - started) / 1000);
  if (json)
    console.log(
      JSON.stringify({ soak: name, seed, seconds, interrupted: interrupted.signal.aborted, counts, failures }),
    );
  else {
    for (const failure of failures)
      console.log(
        `FAILED at seed ${failure.seed}: ${failure.message}\nagain: npm run soak -- ${name} --seed ${failure.seed}`,
      );
    console.log(
      `soak ${name}: ${formatCounts(counts)} in ${seconds} s from seed ${seed} on, ${failures.length} failures`,
    );
  }
  if (failures.length > 0) return exitCodes.error;
  return interrupted.signal.aborted ? exitCodes.interrupted : 0;
}

function parseOptions() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      minutes: { type: "string" },
      seed: { type: "string" },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return undefined;
  const [name = "", ...more] = positionals;
  if (!Object.hasOwn(soaks, name)) throw new Error(name === "" ? "which soak?" : `there is no soak '${name}'`);
  if (more.length > 0) throw new Error(`one soak at a time, not also '${more[0]}'`);
  const soak: Soak = soaks[name];
  const minutes = Number(values.minutes ?? soak.minutes);
  if (!(minutes > 0)) throw new Error(`--minutes ${values.minutes} is no number of minutes`);
  const seed = Number(values.seed ?? randomInt(2 ** 31));
  if (!Number.isSafeInteger(seed) || seed < 0) throw new Error(`--seed ${values.seed} is no whole number`);
  return { name, soak, minutes, seed, json: values.json };
}

function startRun(name: string, minutes: number, seed: number, signal: AbortSignal): SoakRun {
  const started = performance.now();
  const deadline = started + minutes * 60_000;
  let shown = started;
  return {
    seed,
    signal,
    goesOn: () => !signal.aborted && performance.now() < deadline,
    progress: (format) => {
      const now = performance.now();
      if (now - shown < progressMs) return;
      shown = now;
      process.stderr.write(`soak ${name}, ${Math.round((now - started) / 1000)} s: ${format()}\n`);
    },
  };
}

process.exitCode = await main();
