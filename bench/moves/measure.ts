/** One run of each move: what it took, and what the guest's client saw of it. */
import { setTimeout as delay } from "node:timers/promises";
import { type Asker, findOutage } from "./asker.ts";
import type { Figures, Mover } from "./mover.ts";
import type { Service } from "./services.ts";

/** Before and after a move, so that its gap has two ends; of a service that is asked seldom, three questions. */
const aroundMs = ({ memory }: Service) => Math.max(1_000, 3 * memory.everyMs);
/** On a machine that others use, a guest under TCG may take minutes. */
const answerDeadlineMs = 600_000;
const pollMs = 20;

/** Settles once the service answers, its root too. */
export async function waitUntilUp(mover: Mover, asker: Asker, service: Service, signal: AbortSignal): Promise<void> {
  asker.ask(mover.addresses(), service.root);
  await asker.waitForAnswer(Date.now(), answerDeadlineMs, signal);
  asker.ask([], service.root);
}

/** The guest is brought back afterwards, for the next run. */
export async function measureSuspend(
  mover: Mover,
  asker: Asker,
  service: Service,
  signal: AbortSignal,
): Promise<Figures> {
  const figures = await mover.suspend(signal);
  await mover.resume(signal);
  await waitUntilUp(mover, asker, service, signal);
  return figures;
}

/** `rootMs`: from the command until a file of the guest's root was written and the client heard so. */
export async function measureResume(
  mover: Mover,
  asker: Asker,
  service: Service,
  signal: AbortSignal,
): Promise<Figures> {
  await mover.suspend(signal);
  await asker.drain();
  const command = Date.now();
  asker.ask(mover.addresses(), service.root);
  const figures = await mover.resume(signal);
  const { at, clock } = await asker.waitForAnswer(command, answerDeadlineMs, signal);
  asker.ask([], service.root);
  return { ...figures, rootMs: at - command, ...lagOf(at, clock) };
}

/** `outageMs`: the longest time in which the client had no answer, asking as often as the service is asked. */
export async function measureMigrate(
  mover: Mover,
  asker: Asker,
  service: Service,
  signal: AbortSignal,
): Promise<Figures> {
  asker.ask(mover.addresses(), service.memory);
  await asker.drain();
  await delay(aroundMs(service), undefined, { signal });
  const quietMs = findOutage(await asker.drain());
  const moving = mover.migrate(signal);
  let isMoving = true;
  const following = (async () => {
    for (let known = ""; isMoving; await delay(pollMs)) {
      const addresses = mover.addresses();
      if (addresses.join() !== known) asker.ask(addresses, service.memory);
      known = addresses.join();
    }
  })();
  const figures = await moving.finally(async () => {
    isMoving = false;
    await following;
  });
  await delay(aroundMs(service), undefined, { signal });
  const answers = await asker.drain();
  await waitUntilUp(mover, asker, service, signal);
  const { at, clock } = answers.at(-1)!;
  return { ...figures, outageMs: findOutage(answers), quietGapMs: quietMs, ...lagOf(at, clock) };
}

/** How far the guest's clock is behind, where it tells it. */
function lagOf(at: number, clock: number | undefined): Figures {
  return clock === undefined ? {} : { clockLagMs: at - clock };
}
