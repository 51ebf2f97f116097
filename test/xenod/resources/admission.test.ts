import { availableParallelism } from "node:os";
import test from "ava";
import type { DomainRecord } from "../../../xenod/daemon/domain-record.ts";
import { admit } from "../../../xenod/resources/admission.ts";

const wanted = { memoryMiB: 64, cpus: 1 };
const capacity = Math.floor(availableParallelism() * 1000 * 0.9);

function record(state: DomainRecord["state"], meanMsPerSecond: number): DomainRecord {
  const deployment = { ...wanted, cpu: { meanMsPerSecond } };
  return { state, deployment } as unknown as DomainRecord;
}

test("what does not fit is refused, and what would is told", (t) => {
  const memory = t.throws(() => admit({ ...wanted, memoryMiB: 1_000_000 }, []), { code: "memory-short" });
  t.regex((memory as { hint?: string }).hint!, /^a guest of \d+ MiB fits/);
  const others = [record("running", capacity - 300)];
  const cpu = t.throws(() => admit({ ...wanted, cpu: { meanMsPerSecond: 301 } }, others), { code: "cpu-short" });
  t.regex((cpu as { hint?: string }).hint!, /^a mean of 300 ms\/s fits/);
  t.notThrows(() => admit({ ...wanted, cpu: { meanMsPerSecond: 300 } }, others));
  t.notThrows(() => admit(wanted, others), "what asks for no share gets what is left");
});

for (const [state, counts] of [
  ["deploying", true],
  ["starting", true],
  ["running", true],
  ["stopped", false],
  ["crashed", false],
  ["suspended", false],
] as const)
  test(`a domain that is ${state} ${counts ? "has" : "gives back"} what it was promised`, (t) => {
    const admitted = () => admit({ ...wanted, cpu: { meanMsPerSecond: 900 } }, [record(state, capacity)]);
    if (counts) t.throws(admitted, { code: "cpu-short" });
    else t.notThrows(admitted);
  });

for (const cpu of [{ meanMsPerSecond: 1001 }, { meanMsPerSecond: 500, peakMsPerSecond: 400 }])
  test(`a share that cannot be is refused: ${JSON.stringify(cpu)}`, (t) => {
    t.throws(() => admit({ ...wanted, cpu }, []), { code: "cpu-invalid" });
  });
