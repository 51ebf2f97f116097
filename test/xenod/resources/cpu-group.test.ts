import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import test, { type ExecutionContext } from "ava";
import { readCpuMs } from "../../../xenod/processes.ts";
import { makeCpuGroup, removeCpuGroup } from "../../../xenod/resources/cpu-group.ts";

async function startSpinning(t: ExecutionContext) {
  const directory = await mkdtemp(join(tmpdir(), "xeno-group-"));
  const child = spawn("sh", ["-c", "while :; do :; done"], { stdio: "ignore" });
  const exited = once(child, "exit");
  const end = async () => {
    child.kill("SIGKILL");
    await exited;
  };
  t.teardown(async () => {
    await end();
    await removeCpuGroup(directory);
    await rm(directory, { recursive: true, force: true });
  });
  return { directory, pid: child.pid!, end };
}

/** Milliseconds a second. What holds this process up makes it less, never more. */
async function measureRate(pid: number, forMs: number): Promise<number> {
  const start = performance.now();
  const before = (await readCpuMs(pid))!;
  await delay(forMs);
  const after = (await readCpuMs(pid))!;
  return (after - before) / ((performance.now() - start) / 1000);
}

test("a process has no more of the processors than its group's peak", async (t) => {
  const { directory, pid } = await startSpinning(t);
  const group = await makeCpuGroup(directory);
  await group.limit({ meanMsPerSecond: 100, peakMsPerSecond: 150 });
  await group.add(pid);
  // One period's quota may be used twice in what was measured.
  const rate = await measureRate(pid, 2_000);
  t.true(rate <= 180, `${rate} ms/s`);

  // As another Xenod finds it, and changes it.
  const found = await makeCpuGroup(directory);
  await found.limit({ meanMsPerSecond: 50, peakMsPerSecond: 50 });
  const changed = await measureRate(pid, 1_000);
  t.true(changed <= 80, `${changed} ms/s`);
});

test("a group goes when its process has ended; one that never was is no error", async (t) => {
  const { directory, pid, end } = await startSpinning(t);
  const group = await makeCpuGroup(directory);
  await group.add(pid);
  const path = (await readFile(join(directory, "cpu-group"), "utf8")).trim().slice(2);
  t.true(existsSync(path));
  await end();
  await removeCpuGroup(directory);
  t.false(existsSync(path));
  await removeCpuGroup(directory);
});
