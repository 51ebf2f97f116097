/** One run of each move: what it took, and what the guest's client saw of it. */
import { setTimeout as delay } from "node:timers/promises";
import { type Asker, findOutage } from "./asker.ts";
import { type Figures, type Mover, memoryPort, rootPort } from "./mover.ts";

/** 200 times a second. */
const everyMs = 5;
const rootEveryMs = 20;
/** Before and after a move, so that its gap has two ends. */
const aroundMs = 1_000;
/** On a machine that others use, a guest under TCG may take minutes. */
const answerDeadlineMs = 600_000;
const pollMs = 20;

/** Settles once the service answers, its root too. */
export async function waitUntilUp(mover: Mover, asker: Asker, signal: AbortSignal): Promise<void> {
  asker.ask(mover.addresses(), rootPort, rootEveryMs);
  await asker.waitForAnswer(Date.now(), answerDeadlineMs, signal);
  asker.ask([], rootPort, rootEveryMs);
}

/** The guest is brought back afterwards, for the next run. */
export async function measureSuspend(mover: Mover, asker: Asker, signal: AbortSignal): Promise<Figures> {
  const figures = await mover.suspend(signal);
  await mover.resume(signal);
  await waitUntilUp(mover, asker, signal);
  return figures;
}

/** `rootMs`: from the command until a file of the guest's root was written and the client heard so. */
export async function measureResume(mover: Mover, asker: Asker, signal: AbortSignal): Promise<Figures> {
  await mover.suspend(signal);
  await asker.drain();
  const command = Date.now();
  asker.ask(mover.addresses(), rootPort, rootEveryMs);
  const figures = await mover.resume(signal);
  const { at, clock } = await asker.waitForAnswer(command, answerDeadlineMs, signal);
  asker.ask([], rootPort, rootEveryMs);
  return { ...figures, rootMs: at - command, clockLagMs: at - clock };
}

/** `outageMs`: the longest time in which the client had no answer, asking 200 times a second. */
export async function measureMigrate(mover: Mover, asker: Asker, signal: AbortSignal): Promise<Figures> {
  asker.ask(mover.addresses(), memoryPort, everyMs);
  await asker.drain();
  await delay(aroundMs, undefined, { signal });
  const quietMs = findOutage(await asker.drain());
  const moving = mover.migrate(signal);
  let isMoving = true;
  const following = (async () => {
    for (let known = ""; isMoving; await delay(pollMs)) {
      const addresses = mover.addresses();
      if (addresses.join() !== known) asker.ask(addresses, memoryPort, everyMs);
      known = addresses.join();
    }
  })();
  const figures = await moving.finally(async () => {
    isMoving = false;
    await following;
  });
  await delay(aroundMs, undefined, { signal });
  const answers = await asker.drain();
  await waitUntilUp(mover, asker, signal);
  const lag = answers.at(-1)!;
  return { ...figures, outageMs: findOutage(answers), quietGapMs: quietMs, clockLagMs: lag.at - lag.clock };
}
