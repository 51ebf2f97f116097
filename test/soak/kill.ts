/** `npm run soak -- kill`: a real guest whose file server is killed every few seconds. It is to notice nothing. */
import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Journal } from "../../cowfs/journals/journal.ts";
import { FileServerClient } from "../../xenod/file-server/client.ts";
import { publishTestKernel } from "../end-to-end/guest-kernel.ts";
import { type RunningServer, startXenoServer } from "../end-to-end/xeno-server.ts";
import { createRandom } from "../random.ts";
import { publishFiles } from "../xenod/published.ts";
import type { Soak, SoakFailure, SoakRun, SoakSummary } from "./soak.ts";

const init = new URL("kill-guest.sh", import.meta.url).pathname;
const name = "guest";
/** A round of the guest takes less than a second; ten of them and a check of everything, after a kill, on a busy machine: */
const patienceMs = 120_000;

export const kill: Soak = {
  about: "the file server killed every few seconds under a real guest that writes, syncs, renames and checks",
  minutes: 30,
  async run(run) {
    await using cleanup = new AsyncDisposableStack();
    const teardown = (act: () => unknown) => cleanup.defer(async () => void (await act()));
    const server = await startXenoServer({
      teardown,
      log: (...values: unknown[]) => console.error(...values),
    } as never);
    await deploy(server);
    return await killAndWatch(run, server);
  },
};

async function deploy(server: RunningServer): Promise<void> {
  const kernel = await publishTestKernel(server.published);
  const files = { "bin/busybox": await readFile("/bin/busybox"), "sbin/init": await readFile(init) };
  const directories = ["dev", "proc", "sys", "tmp", "data", "work"];
  const options = { executables: Object.keys(files), directories };
  const overlay = await publishFiles(server.published, "restless", files, options);
  const deployment = { id: randomUUID(), name, overlay, kernel, memoryMiB: 128, cpus: 1 };
  const { task } = await server.client.deploy(deployment);
  await server.client.waitForTask(task);
}

async function killAndWatch(run: SoakRun, server: RunningServer): Promise<SoakSummary> {
  const random = createRandom(run.seed);
  const counts = { kills: 0, rounds: 0, repeats: 0 };
  const failures: SoakFailure[] = [];
  const fail = (message: string) => failures.push({ seed: run.seed, message });
  const fileServer = new FileServerClient(server.stateDirectory);
  try {
    await waitForRounds(server, 1);
    while (run.goesOn() && failures.length === 0) {
      await delay(1000 + random(4000), undefined, { signal: run.signal }).catch(() => {});
      const { worker, exports } = await fileServer.status();
      counts.repeats += exports[0]?.counters?.repeats ?? 0;
      const { rounds } = await readConsole(server);
      process.kill(worker, "SIGKILL");
      counts.kills++;
      // Further than what was under way at the kill.
      const { errors, rounds: reached } = await waitForRounds(server, rounds + 2);
      counts.rounds = reached;
      for (const line of errors) fail(line);
      if (reached < rounds + 2) fail(`the guest stands still after round ${reached}: ${await server.readLogs()}`);
      run.progress(
        () => `${counts.kills} kills, ${counts.rounds} rounds of the guest, ${counts.repeats} answers repeated`,
      );
    }
    // At its next tenth round the guest looks at everything that it has.
    const { rounds } = await readConsole(server);
    const { errors } = await waitForRounds(server, rounds + 11);
    for (const line of errors.slice(failures.length)) fail(line);
  } finally {
    fileServer.close();
  }
  const { task } = await server.client.stop(name, 500);
  await server.client.waitForTask(task);
  try {
    await Journal.open(join(server.stateDirectory, "domains", name, "journal")).close();
  } catch (error) {
    fail(`the journal does not open: ${error}`);
  }
  return { counts, failures };
}

async function waitForRounds(server: RunningServer, rounds: number) {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    const seen = await readConsole(server);
    if (seen.rounds >= rounds || seen.errors.length > 0 || performance.now() > deadline) return seen;
    await delay(100);
  }
}

async function readConsole(server: RunningServer): Promise<{ rounds: number; errors: string[] }> {
  const console = await readFile(join(server.stateDirectory, "domains", name, "console.log"), "latin1");
  // What it says while it boots is no matter of ours.
  const text = console.slice(console.lastIndexOf("guest: up"));
  const rounds = Number([...text.matchAll(/guest: OK (\d+)/g)].at(-1)?.[1] ?? 0);
  const errors = text.split("\n").filter((line) => /guest: ERROR|I\/O error|Stale|panic/i.test(line));
  return { rounds, errors };
}
