/**
 * Two ends and all that can happen to them: the world in which the protocol is explored.
 *
 * An answer is carried out in one step, whole or up to any of its actions, where its Xenod dies. That is enough: an end sees of
 * the other only what it said, so what the other does between two actions it might as well do before or after them.
 */
import {
  cancelMigration,
  hearTarget,
  remindTarget,
  restartSource,
  type SourceAction,
  type SourceAnswer,
  sayFinal,
} from "../../../xenod/migration/protocol/source.ts";
import {
  hearSource,
  remindSource,
  restartTarget,
  type TargetAction,
} from "../../../xenod/migration/protocol/target.ts";
import type { World } from "./explore.ts";

/** One more than any hand-over needs, and one after which the source gives up waiting. */
const fairRounds = 6;
const patientRounds = 3;
/** Of a step that does not happen. */
const outOfDeaths = Number.NaN;

type Target = World["targets"][number];
const unknown: Target = {
  isReceiving: false,
  saved: { state: "unknown" },
  isWhole: false,
  isRunning: false,
  isUp: true,
};

/** `deaths`: how many may die, of either end's Xenod, hypervisor or host; -1 for any number. */
export function start(attempts: number, deaths: number): World {
  return {
    deathsLeft: deaths,
    source: { saved: { state: "here" }, domain: "running", hasData: true, isUp: true },
    targets: Array.from({ length: attempts }, () => unknown),
    begun: 0,
    toTarget: [],
    toSource: [],
  };
}

/** Where the domain runs. */
export function listRunning({ source, targets }: World): string[] {
  const at = targets.flatMap(({ isRunning }, index) => (isRunning ? [`target ${nameAttempt(index)}`] : []));
  return source.domain === "running" ? ["source", ...at] : at;
}

/** Every world that can come next. */
export function listSteps(world: World): World[] {
  return [...listSourceSteps(world), ...world.targets.flatMap((_, index) => listTargetSteps(world, index))].filter(
    ({ deathsLeft }) => !Number.isNaN(deathsLeft),
  );
}

function listSourceSteps(world: World): World[] {
  const { source, begun } = world;
  // Xenod dies alone, or with its host and the guest on it.
  const killed = killSource(world);
  const next = [killed, { ...killed, source: { ...killed.source, domain: "none" as const } }];
  if (!source.isUp) return [...next, ...carryOutAtSource(upSource(world), restartSource(source.saved))];
  for (const message of world.toSource) next.push(...carryOutAtSource(world, hearTarget(source, message)));
  next.push(...carryOutAtSource(world, cancelMigration(source)), ...carryOutAtSource(world, remindTarget(source)));
  const { progress } = source;
  if (progress?.phase === "copying")
    next.push(...carryOutAtSource({ ...world, source: { ...source, domain: "paused" } }, sayFinal(progress.migration)));
  const isIdle = source.saved.state === "here" && progress === undefined && source.domain === "running";
  if (isIdle && begun < world.targets.length) {
    const copying = { migration: nameAttempt(begun), phase: "copying" } as const;
    const receiving = setTarget(world, begun, { isReceiving: true });
    next.push({ ...receiving, begun: begun + 1, source: { ...source, progress: copying } });
  }
  return next;
}

function listTargetSteps(world: World, index: number): World[] {
  const target = world.targets[index]!;
  const migration = nameAttempt(index);
  if (world.begun <= index) return [];
  const next = [
    kill(setTarget(world, index, { isUp: false, isReceiving: false })),
    // Its host dies, or the hypervisor's process, with what was received or runs.
    kill(setTarget(world, index, { isUp: false, isReceiving: false, isWhole: false, isRunning: false })),
    kill(setTarget(world, index, { isReceiving: false, isWhole: false, isRunning: false })),
  ];
  const answer = (actions: readonly TargetAction[]) => next.push(...carryOutAtTarget(world, index, actions));
  if (!target.isUp) {
    answer(restartTarget(target, migration));
    return next;
  }
  for (const message of world.toTarget) if (message.migration === migration) answer(hearSource(target, message));
  answer(remindSource(target, migration));
  // All of it has come.
  if (target.isReceiving) next.push(setTarget(world, index, { isReceiving: false, isWhole: true }));
  return next;
}

/** Lets both ends run and talk, with nothing lost and nobody dying, until nothing changes any more. */
export function settle(world: World): World {
  let now = whole(
    carryOutAtSource(
      upSource(world),
      world.source.isUp ? { progress: world.source.progress, actions: [] } : restartSource(world.source.saved),
    ),
  );
  for (let round = 0; round < fairRounds; round++) {
    now = exchange(whole(carryOutAtSource(quiet(now), remindTarget(now.source))));
    if (round === patientRounds) now = exchange(whole(carryOutAtSource(quiet(now), cancelMigration(now.source))));
    for (let index = 0; index < now.targets.length; index++) {
      const target = now.targets[index]!;
      const actions = (target.isUp ? remindSource : restartTarget)(target, nameAttempt(index));
      now = exchange(whole(carryOutAtTarget(quiet(now), index, actions)));
    }
  }
  // A guest that died at the end that owns it is started there again, as after any crash.
  const targets = now.targets.map((target) => ({
    ...target,
    isRunning: target.isRunning || target.saved.state === "owned",
  }));
  return { ...now, targets };
}

/** Delivers what was said, and what is said in answer, once each. */
function exchange(said: World): World {
  let now = said;
  while (now.toSource.length + now.toTarget.length > 0) {
    const { toSource, toTarget } = now;
    now = quiet(now);
    for (const message of toTarget) {
      const index = Number(message.migration) - 1;
      now = whole(carryOutAtTarget(now, index, hearSource(now.targets[index]!, message)));
    }
    for (const message of toSource) now = whole(carryOutAtSource(now, hearTarget(now.source, message)));
  }
  return now;
}

function quiet(world: World): World {
  return { ...world, toSource: [], toTarget: [] };
}

/** The outcome in which nobody dies. */
function whole(outcomes: World[]): World {
  return outcomes.at(-1)!;
}

function killSource(world: World): World {
  const { progress: _, ...source } = world.source;
  return kill({ ...world, source: { ...source, isUp: false } });
}

function kill(world: World): World {
  return world.deathsLeft < 0
    ? world
    : { ...world, deathsLeft: world.deathsLeft === 0 ? outOfDeaths : world.deathsLeft - 1 };
}

function upSource(world: World): World {
  return { ...world, source: { ...world.source, isUp: true } };
}

/** Each outcome: Xenod dies before the first action, the second…; last the one in which all are done. */
function carryOutAtSource(world: World, { progress, actions }: SourceAnswer): World[] {
  const outcomes: World[] = [];
  let now = world;
  for (const action of actions) {
    outcomes.push(killSource(now));
    now = performAtSource(now, action);
  }
  const { progress: _, ...source } = now.source;
  return [...outcomes, { ...now, source: progress === undefined ? source : { ...source, progress } }];
}

function performAtSource(world: World, action: SourceAction): World {
  const { source } = world;
  switch (action.kind) {
    case "save":
      return { ...world, source: { ...source, saved: action.state } };
    case "send":
      return { ...world, toTarget: addTo(world.toTarget, action.message) };
    case "run":
      if (!source.hasData) throw new Error(`what was thrown away is to run: ${JSON.stringify(world)}`);
      return { ...world, source: { ...source, domain: "running" } };
    case "discard":
      return { ...world, source: { ...source, domain: "none", hasData: false } };
  }
}

function carryOutAtTarget(world: World, index: number, actions: readonly TargetAction[]): World[] {
  const outcomes: World[] = [];
  let now = setTarget(world, index, { isUp: true });
  for (const action of actions) {
    outcomes.push(kill(setTarget(now, index, { isUp: false, isReceiving: false })));
    now = performAtTarget(now, index, action);
  }
  return [...outcomes, now];
}

function performAtTarget(world: World, index: number, action: TargetAction): World {
  switch (action.kind) {
    case "save":
      return setTarget(world, index, { saved: action.state });
    case "send":
      return { ...world, toSource: addTo(world.toSource, action.message) };
    case "run":
      return setTarget(world, index, { isRunning: true, isWhole: false });
    case "discard":
      return setTarget(world, index, { isReceiving: false, isRunning: false, isWhole: false });
  }
}

function setTarget(world: World, index: number, change: Partial<Target>): World {
  const targets = world.targets.map((target, at) => (at === index ? { ...target, ...change } : target));
  return { ...world, targets };
}

/** In one order, so that worlds in which the same was said are the same. */
function addTo<Message extends { readonly kind: string; readonly migration: string }>(
  said: readonly Message[],
  message: Message,
): readonly Message[] {
  const name = ({ migration, kind }: Message) => `${migration} ${kind}`;
  if (said.some((each) => name(each) === name(message))) return said;
  return [...said, message].sort((a, b) => (name(a) < name(b) ? -1 : 1));
}

function nameAttempt(index: number): string {
  return String(index + 1);
}
