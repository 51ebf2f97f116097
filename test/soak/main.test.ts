import test from "ava";
import { execa } from "execa";
import { runRounds, type SoakRun } from "./soak.ts";

function startRun(rounds: number, signal = new AbortController().signal): SoakRun {
  let left = rounds;
  return { seed: 7, signal, goesOn: () => !signal.aborted && left-- > 0, progress: () => {} };
}

test("rounds take one seed after the other, and counts add up", async (t) => {
  const seeds: number[] = [];
  const summary = await runRounds(startRun(3), async (seed, count) => {
    seeds.push(seed);
    count("cuts", 10);
  });
  t.deepEqual(seeds, [7, 8, 9]);
  t.deepEqual(summary, { counts: { rounds: 3, cuts: 30 }, failures: [] });
});

test("a round that fails ends the soak and names its seed", async (t) => {
  const { counts, failures } = await runRounds(startRun(5), async (seed) => {
    if (seed === 9) throw new Error("lost");
  });
  t.is(counts.rounds, 2);
  t.is(failures.length, 1);
  t.is(failures[0].seed, 9);
  t.regex(failures[0].message, /lost/);
});

test("what a round that was interrupted throws is no failure", async (t) => {
  const controller = new AbortController();
  const { failures } = await runRounds(startRun(5, controller.signal), async () => {
    controller.abort();
    throw new Error("ended early");
  });
  t.deepEqual(failures, []);
});

test("unknown names and numbers are told with the usage, and --help is a result", async (t) => {
  const program = new URL("./main.ts", import.meta.url).pathname;
  const soak = (...args: string[]) => execa(process.execPath, [program, ...args], { reject: false });
  for (const args of [[], ["nothing"], ["crash", "--minutes", "soon"]]) {
    const { exitCode, stderr, stdout } = await soak(...args);
    t.is(exitCode, 2, args.join(" "));
    t.regex(stderr, /Usage: npm run soak/);
    t.is(stdout, "");
  }
  const { exitCode, stdout } = await soak("--help");
  t.is(exitCode, 0);
  t.regex(stdout, /Usage: npm run soak/);
});
