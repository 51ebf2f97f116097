import test from "ava";
import { findOutage } from "../../../bench/moves/asker.ts";
import type { Mover } from "../../../bench/moves/mover.ts";
import { formatReport, summarizeReport } from "../../../bench/moves/report.ts";

test("the outage is the longest time between two answers, whenever they were asked for", (t) => {
  const answers = [1000, 1005, 1011, 1400, 1401].map((at) => ({ at, askedAt: at - 300, clock: 0 }));
  t.is(findOutage(answers), 389);
  t.is(findOutage(answers.slice(0, 1)), 0);
});

test("a report compares medians, and leaves out what not every run has", (t) => {
  const result = (name: string, totals: number[], outages: number[]) => ({
    mover: { name, title: name } as Mover,
    runs: totals.map((totalMs, run) => ({ totalMs, outageMs: outages[run], ...(run === 0 && { once: 1 }) })),
  });
  const machine = { processor: "p", cores: 2, memoryMiB: 1024, kernel: "k", node: "n", qemu: "q", load: 1 };
  const kvm = { works: false, reason: "no" } as never;
  const results = [result("xeno", [300, 100, 200], [90, 80, 100]), result("bare", [100, 100, 400], [30, 20, 40])];
  const report = { move: "migrate", service: "clock", machine, kvm, results };
  const text = formatReport(report);
  t.true(text.includes("XenoServer over bare QEMU, medians: totalMs 2, outageMs 3"), text);
  t.true(text.includes("outage: 60 ms more than bare QEMU"), text);
  t.false(text.includes("once"));
  t.like(summarizeReport(report), { benchmark: "migrate", ratios: { totalMs: 2, outageMs: 3 } });
});
