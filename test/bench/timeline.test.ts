import test from "ava";
import { summarizeBoots } from "../../bench/boot/timeline.ts";

const boots = [
  {
    run: 2,
    guest: "a",
    removeMs: 5,
    guestCpuMs: 50,
    serverCpuMs: 9,
    steps: { accepted: 10, kernel: 40, init: 100, page: 1000 },
  },
  {
    run: 3,
    guest: "a",
    removeMs: 7,
    guestCpuMs: 60,
    serverCpuMs: 3,
    steps: { accepted: 20, kernel: 30, init: 130, page: 1400 },
  },
];

test("a step counts from the one before it, the first from the command", (t) => {
  const { steps } = summarizeBoots(boots)!;
  t.deepEqual([steps.accepted.sincePrevious.min, steps.accepted.sincePrevious.max], [10, 20]);
  t.deepEqual([steps.kernel.sincePrevious.min, steps.kernel.sincePrevious.max], [10, 30]);
  t.deepEqual([steps.kernel.sinceAcceptance.min, steps.kernel.sinceAcceptance.max], [10, 30]);
  t.deepEqual([steps.page.sinceAcceptance.min, steps.page.sinceAcceptance.max], [990, 1380]);
});

test("bootMs is from acceptance to init, answerMs from the command to the page", (t) => {
  const summary = summarizeBoots(boots)!;
  t.deepEqual([summary.bootMs.min, summary.bootMs.max], [90, 110]);
  t.deepEqual([summary.answerMs.min, summary.answerMs.max], [1000, 1400]);
  t.deepEqual([summary.removeMs.min, summary.removeMs.max], [5, 7]);
  t.deepEqual([summary.guestCpuMs.max, summary.serverCpuMs.max], [60, 9]);
});

test("no boots have no summary", (t) => {
  t.is(summarizeBoots([]), undefined);
});
