import test from "ava";
import { formatReport, type NfsReport, summarize } from "../../../bench/nfs/report.ts";
import { arrangements, conditions, type Measurement, quickSize, severalCondition } from "../../../bench/nfs/rows.ts";

const machine = { processor: "P", cores: 2, memoryMiB: 1024, kernel: "6", node: "24", qemu: "7", load: 0 };
const [pinned] = conditions;

function measured(server: string, row: string, units: number, seconds: number, processorSeconds = 0): Measurement {
  return {
    condition: pinned.name,
    row,
    depth: 1,
    server,
    repetition: 1,
    units,
    bytes: units,
    seconds,
    processorSeconds,
  };
}

function reportOf(measurements: Measurement[]): NfsReport {
  const shape = { size: quickSize, repetitions: 1, seconds: 1, isQuick: true, conditions: [pinned] };
  return { machine, peer: "peer 1", ...shape, measurements };
}

test("a rate is compared as ours over the peer's, a time as the peer's over ours", (t) => {
  const [rate, time] = summarize(
    reportOf([
      measured("xeno", "getattr", 300, 1),
      measured("ganesha", "getattr", 100, 1),
      measured("xeno", "write-lower", 1, 0.001),
      measured("ganesha", "write-lower", 1, 0.5),
    ]),
  );
  t.is(rate.times, 3);
  t.is(rate.goal, 1.4);
  t.is(time.times, 500);
});

test("the median of the repetitions counts, and processor time is for each unit", (t) => {
  const [line] = summarize(
    reportOf([
      measured("xeno", "lookup", 100, 1, 0.001),
      measured("xeno", "lookup", 300, 1, 0.003),
      measured("xeno", "lookup", 9000, 1, 0.09),
      measured("ganesha", "lookup", 100, 1),
    ]),
  );
  t.is(line.ours.speed, 300);
  t.is(Math.round(line.ours.processorMicroseconds), 10);
});

test("a row that only one of them was measured on is no line", (t) => {
  t.deepEqual(summarize(reportOf([measured("xeno", "lookup", 100, 1)])), []);
});

test("the table says whether each goal was met, and that a quick run shows nothing", (t) => {
  const text = formatReport(reportOf([measured("xeno", "getattr", 300, 1), measured("ganesha", "getattr", 100, 1)]));
  t.regex(text, /quick run/);
  t.regex(text, /GETATTR +1 +300\/s +100\/s +3\.00 +1\.4 +yes/);
});

test("several exports are compared with one that is alone in its process", (t) => {
  const of = (server: string, units: number) => ({
    ...measured(server, "getattr", units, 1, 0.01),
    condition: severalCondition,
  });
  const text = formatReport(reportOf([of(arrangements[0].name, 1000), of(arrangements.at(-1)!.name, 1900)]));
  t.regex(text, /2 exports, 2 workers; 2 cores\s+1900\/s \(1\.90\)\s+5\.26/);
});
