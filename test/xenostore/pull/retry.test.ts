import test from "ava";
import { XenoError } from "../../../cowfs/errors.ts";
import { Pace } from "../../../xenostore/pull/pace.ts";
import { retryStore } from "../../../xenostore/pull/retry.ts";
import fc from "../../property.ts";

const forever = new AbortController().signal;
const away = () => new XenoError("store-unavailable", "away");
const policy = { patienceMs: 10_000, firstPauseMs: 1, maxPauseMs: 4, attemptMs: 10_000 };

test("what may pass is tried again until it goes well; what is an answer is not", async (t) => {
  let attempts = 0;
  const failing = (error: () => Error, times: number) => async () => {
    if (++attempts <= times) throw error();
    return "done";
  };
  t.is(await retryStore(failing(away, 4), forever, policy), "done");
  t.is(attempts, 5);
  for (const code of ["object-missing", "object-damaged", "store-key"]) {
    attempts = 0;
    await t.throwsAsync(
      retryStore(
        failing(() => new XenoError(code, code), 1),
        forever,
        policy,
      ),
      { code },
    );
    t.is(attempts, 1);
  }
  attempts = 0;
  await t.throwsAsync(retryStore(failing(away, 9), forever, { ...policy, patienceMs: 0 }), {
    code: "store-unavailable",
  });
  t.is(attempts, 1);
});

test("an attempt that hangs is given up and said to be the store's, and an abort ends everything at once", async (t) => {
  const hang = (signal: AbortSignal) =>
    new Promise<never>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  const impatient = { ...policy, patienceMs: 0, attemptMs: 20 };
  await t.throwsAsync(retryStore(hang, forever, impatient), { code: "store-unavailable", message: /within 0.02 s/ });
  const controller = new AbortController();
  const waiting = retryStore(hang, controller.signal, policy);
  controller.abort(new Error("enough"));
  await t.throwsAsync(waiting, { message: "enough" });
});

test("pauses grow to their bound and are never shorter than half of it", async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.double({ min: 0, max: 0.999, noNaN: true }), async (random) => {
      const times: number[] = [];
      const attempt = async () => {
        times.push(performance.now());
        if (times.length < 5) throw away();
      };
      await retryStore(attempt, forever, { ...policy, firstPauseMs: 2, maxPauseMs: 8 }, () => random);
      const pauses = times.slice(1).map((time, index) => time - times[index]);
      [2, 4, 8, 8].forEach((pause, index) => {
        t.true(pauses[index] >= pause / 2 - 1);
      });
    }),
    { numRuns: 5 },
  );
});

test("a pace lets a burst through and then no more than its rate", async (t) => {
  let now = 0;
  const pace = new Pace(1_000_000, () => now);
  const isReady = async (bytes: number) => {
    const early = new AbortController();
    const taken = pace.take(bytes, early.signal).then(
      () => true,
      () => false,
    );
    await Promise.resolve();
    await Promise.resolve();
    early.abort();
    return await taken;
  };
  t.true(await isReady(1_000_000), "what a second of silence has saved");
  t.false(await isReady(50_000_000));
  now = 60_000;
  t.true(await isReady(500_000));
});
