import test, { type ExecutionContext } from "ava";
import type { RestartPolicy } from "../../../xenod/daemon/deployment.ts";
import type { DomainRecord, EndCause } from "../../../xenod/daemon/domain-record.ts";
import { Restarts } from "../../../xenod/daemon/restarts.ts";
import { poll } from "../test-guest.ts";

function ended(name: string, restart: RestartPolicy | undefined, endedBy: EndCause): DomainRecord {
  return {
    ...{ format: 1, name, task: "", overlayTree: "", kernelTree: "", link: false, exported: false },
    deployment: { id: "12345678", overlay: "", kernel: "", memoryMiB: 64, cpus: 1, restart },
    ...{ intent: "running", state: "crashed", endedBy, steps: { kernel: 0 }, ended: 1000 },
  };
}

function open(t: ExecutionContext, start: (name: string) => Promise<void>) {
  const ending = new AbortController();
  t.teardown(() => ending.abort());
  const failed: string[] = [];
  const onFailed = (name: string) => void failed.push(name);
  return { failed, restarts: new Restarts({ start, onFailed, signal: ending.signal, firstPauseMs: 1 }) };
}

test("a domain is started again after what its policy names, and after nothing else", async (t) => {
  const started: string[] = [];
  const { restarts } = open(t, async (name) => void started.push(name));
  for (const policy of [undefined, "never", "host-boot", "crash", "always"] as const)
    for (const cause of ["host-boot", "crash", "power-off"] as const)
      restarts.consider(ended(`${policy}/${cause}`, policy, cause));
  restarts.consider({ ...ended("stopped-by-a-client", "always", "crash"), intent: "stopped" });
  restarts.consider({ ...ended("never-ended", "always", "crash"), endedBy: undefined });
  const expected = ["always/crash", "always/host-boot", "always/power-off", "crash/crash", "crash/host-boot"];
  await poll("the starts", async () => started.length === 6);
  t.deepEqual(started.sort(), [...expected, "host-boot/host-boot"]);
});

test("a start that fails is tried again, after a longer pause each time, until a client decides otherwise", async (t) => {
  const at: number[] = [];
  const { restarts, failed } = open(t, async () => {
    at.push(performance.now());
    if (at.length < 6) throw new Error("no room");
  });
  restarts.consider(ended("a", "crash", "crash"));
  await poll("the sixth try", async () => at.length === 6);
  t.is(failed.length, 5);
  t.true(at[5] - at[4] >= 31, "the sixth pause is 32 ms");
  restarts.consider(ended("b", "crash", "crash"));
  restarts.cancel("b");
  await poll("nothing", async () => performance.now() > at[5] + 100);
  t.is(at.length, 6);
});
