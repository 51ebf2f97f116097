/** Runs in a dom0: `inside.ts KERNEL RUNS`. Measures both contenders in turn, and prints what each run took as JSON. */
import { readFile, rm, stat } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { execa } from "execa";
import { claimPrefix } from "../../xenod/links/sweep.ts";
import { createSwitch, joinSwitch } from "../../xenod/links/switch.ts";
import { prepareGuest, prepareInitramfs } from "./bench-guest.ts";
import { type Contender, contendWithDriver, contendWithXl } from "./contenders.ts";

/** ms of dom0's own time, and bytes. */
export interface XenFigures {
  readonly createMs: number;
  readonly saveMs: number;
  readonly imageBytes: number;
  readonly restoreMs: number;
  readonly migrateMs: number;
  /** From the last line that was printed here to the first one there: to the 50 ms that lie between lines. */
  readonly outageMs: number;
}

const [kernelDirectory = "", runs = "1"] = process.argv.slice(2);
const { signal } = new AbortController();
const prefix = "xeno-bench";
const image = "/var/tmp/bench-image";
/** $1 and $2 are records of consoles. Prints for how many ms neither grew, once the second one has. A process of its own, since moving keeps ours busy. */
const watchOutage = `sub now { open(my $file, "<", "/proc/uptime"); return (split / /, <$file>)[0] }
my ($size, $last) = (0, 0);
while (1) {
  my ($here, $there, $now) = (-s $ARGV[0], -s $ARGV[1], now());
  if ($there) { printf "%d", ($now - $last) * 1000; exit }
  if ($here && $here != $size) { ($size, $last) = ($here, $now) }
  select(undef, undef, undef, 0.02);
}`;

await claimPrefix(prefix);
await createSwitch(prefix);
await joinSwitch({ prefix, name: "server", address: "10.77.0.1", forwards: true, routes: [] });
const place = { kernelDirectory, initramfs: await prepareInitramfs(kernelDirectory), prefix };
const contenders = [contendWithDriver(signal), contendWithXl(signal)];
const results: Record<string, XenFigures[]> = {};
for (let run = 1; run <= Number(runs); run++)
  for (const contender of contenders) {
    const figures = await measure(contender, run);
    process.stderr.write(`run ${run} ${contender.name}: ${JSON.stringify(figures)}\n`);
    results[contender.name] = [...(results[contender.name] ?? []), figures];
  }
process.stdout.write(`${JSON.stringify(results)}\n`);
process.exit();

async function measure(contender: Contender, run: number): Promise<XenFigures> {
  const here = await prepareGuest(`${contender.name}-here-${run}`, place);
  const there = await prepareGuest(`${contender.name}-there-${run}`, place);
  const [console, later] = contender.consoles(here, there);
  const createMs = await time(() => contender.create(here));
  await contender.unpause();
  await waitForTicks(console, 10);
  const saveMs = await time(() => contender.save(image));
  const { size: imageBytes } = await stat(image);
  await contender.destroy();
  const printed = await countTicks(console);
  const restoreMs = await time(() => contender.restore(here, image));
  await rm(image);
  await contender.unpause();
  await waitForTicks(console, printed + 10);
  const outage = execa("perl", ["-e", watchOutage, console, later]);
  const migrateMs = await time(() => contender.migrate(there));
  const outageMs = Number((await outage).stdout);
  await contender.destroy();
  return { createMs, saveMs, imageBytes, restoreMs, migrateMs, outageMs };
}

async function time(act: () => Promise<void>): Promise<number> {
  const started = performance.now();
  await act();
  return performance.now() - started;
}

async function waitForTicks(console: string, count: number): Promise<void> {
  while ((await countTicks(console)) < count) await delay(100);
}

async function countTicks(console: string): Promise<number> {
  const text = await readFile(console, "latin1").catch(() => "");
  return text.split("tick").length - 1;
}
