/** One life of a journal: it is opened, changed and closed, and what it promises is noted with where the disk was then. */
import assert from "node:assert/strict";
import { setImmediate as nextTurn } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { FileSystemError, XenoError } from "../../../cowfs/errors.ts";
import { Fault } from "../../../cowfs/fault.ts";
import type { UnionFileSystem } from "../../../cowfs/union/union.ts";
import fc from "../../property.ts";
import { type Operation, operation, perform } from "../union/operations.ts";
import { snapshot } from "../union/snapshot.ts";
import { type Kept, PinLife } from "./kept-pins.ts";
import { type DiskCall, type DiskHistory, Recording } from "./recorder.ts";
import { refusals, Trouble } from "./trouble.ts";
import { type CrashWorld, keyOf, type Moment } from "./world.ts";

export interface Lived {
  readonly recording: Recording;
  readonly moments: readonly Moment[];
  /** Where in the recording this life begins. */
  readonly from: number;
}

/** Opens the journal, changes it and closes it: what it promised when. Crashes come before that, or after. */
export async function live(world: CrashWorld, disk: string, history: DiskHistory, last: Moment): Promise<Lived> {
  const trouble = world.options.trouble ? new Trouble(world.random, 70) : undefined;
  let hasFailed = false;
  let refusedAt = Number.POSITIVE_INFINITY;
  const onCall = (call: DiskCall) => {
    const answer = trouble?.answer(call);
    if (typeof answer === "string") {
      refusedAt = Math.min(refusedAt, recording.steps.length);
      moments.push({ ...moments.at(-1)!, steps: recording.steps.length });
    }
    return answer;
  };
  const recording = new Recording(disk, history, { onCall });
  const moments: Moment[] = [{ ...last, steps: history.steps.length }];
  try {
    await act(world, disk, recording, moments, last, trouble);
  } catch (error) {
    if (!trouble?.refused || error instanceof assert.AssertionError) throw error;
    // The disk has refused what the journal cannot do without; what it promised holds.
    if (!(error instanceof XenoError || error instanceof FileSystemError)) throw error;
    world.options.count("failed closed");
    hasFailed = true;
  } finally {
    recording.stop();
  }
  const end = moments.at(-1)!;
  moments.push({ ...end, steps: recording.steps.length, verifier: end.isClosed ? end.verifier : "" });
  recording.requireComplete();
  world.options.count("operations", world.options.operations);
  if (trouble !== undefined) world.options.count("refused calls", trouble.refused);
  // After a failed sync no more is promised than what was synced before, under another write verifier.
  const isWeaker = ({ steps }: Moment) => hasFailed && steps >= refusedAt;
  const promised = moments.map((each) => (isWeaker(each) ? { ...each, flushed: each.stable, verifier: "" } : each));
  return { recording, moments: promised, from: history.steps.length };
}

async function act(
  world: CrashWorld,
  disk: string,
  recording: Recording,
  moments: Moment[],
  last: Moment,
  trouble?: Trouble,
): Promise<void> {
  const random = world.random;
  const union = await world.open(disk, last.boot);
  const { journal } = union.core;
  let { stable, nextInode } = last;
  let flushed = world.operations.length;
  const verifier = union.writeVerifier.toString("hex");
  let { kept } = last;
  const note = (isClosed = false) => {
    const { boot } = last;
    const { length: steps } = recording.steps;
    const { length: begun } = world.operations;
    moments.push({ boot, steps, flushed, stable, begun, nextInode, verifier, isClosed, kept });
  };
  note();
  const onPromise = (promised: Kept) => {
    kept = promised;
    moments.push({ ...moments.at(-1)!, steps: recording.steps.length, kept });
  };
  const pins = new PinLife({ snapshots: journal.snapshots, disk, random, onPromise }, kept);
  const model = world.makeModel();
  for (const done of world.operations) perform(model, done);
  const failures: unknown[] = [];
  const sync = async () => {
    const covered = world.operations.length;
    await union.sync();
    flushed = Math.max(flushed, covered);
    stable = Math.max(stable, covered);
    note();
  };
  const begun: Promise<void>[] = [];
  const start = (running: Promise<void>) => void begun.push(running.catch((error) => void failures.push(error)));
  try {
    pins.removeForks();
    // What a life before had written is to be made stable by this one.
    if (random(2) === 0) start(sync());
    for (const step of fc.sample(operation, { numRuns: world.options.operations, seed: random(2 ** 31) })) {
      // Noted before: what is done may reach the disk at once.
      moments.push({ ...moments.at(-1)!, steps: recording.steps.length, begun: world.operations.length + 1 });
      const found = performOrWait(union, step, keyOf(world.operations.length + 1));
      if (trouble?.refused && refusals.includes(found)) world.options.count("refused operations");
      else world.follow(model, step, found);
      if (random(3) > 0) {
        union.flush();
        flushed = world.operations.length;
        nextInode = journal.state.nextInode;
        note();
      }
      if (random(4) === 0) start(sync());
      if (random(40) === 0) start(journal.checkpoint());
      const pinned = pins.act(world.operations.length);
      if (pinned !== undefined) start(pinned);
      for (let turns = random(5); turns > 0; turns--) await nextTurn();
    }
    await Promise.all(begun);
    // In a round that began by itself, perhaps.
    if (journal.hasFailed) throw failures[0] ?? new FileSystemError("EIO");
    if (trouble === undefined) assert.deepEqual([journal.checkpointFailure, ...failures], [undefined]);
    const shown = snapshot(union);
    if (!isDeepStrictEqual(shown, world.states.at(-1))) assert.deepEqual(shown, world.states.at(-1));
  } catch (error) {
    if (journal.hasFailed)
      assert.throws(() => union.transact(undefined, () => Buffer.alloc(0)), { code: "EIO" }, "it goes on");
    await union.close().catch(() => {});
    await Promise.all(begun);
    throw error;
  }
  // Whether it is closed already is hard to say meanwhile.
  moments.push({ ...moments.at(-1)!, steps: recording.steps.length, verifier: "" });
  await union.close();
  flushed = stable = world.operations.length;
  nextInode = journal.state.nextInode;
  note(true);
}

/** What waits for room on a disk that refuses has changed nothing, and is refused here. */
function performOrWait(union: UnionFileSystem, step: Operation, key: string): string {
  try {
    return perform(union, step, key);
  } catch (thrown) {
    if (thrown instanceof Fault) return "ENOSPC";
    throw thrown;
  }
}
