/** Whether what a crash has left is what was promised. */
import assert from "node:assert/strict";
import { isDeepStrictEqual } from "node:util";
import type { UnionFileSystem } from "../../../cowfs/union/union.ts";
import { describeState } from "../journals/scratch.ts";
import { snapshot } from "../union/snapshot.ts";
import { changesAt, lineageOf } from "./kept-pins.ts";
import { type CrashWorld, keyOf, lookingLimits, type Moment } from "./world.ts";

export interface Found {
  readonly changes: number;
  readonly state: unknown;
  readonly pins: readonly string[];
}

export function examine(
  world: CrashWorld,
  union: UnionFileSystem,
  least: number,
  moment: Moment,
  expected: "same" | "changed" | "any",
): Found {
  const { journal } = union.core;
  let changes = 0;
  while (union.findReply(keyOf(changes + 1)) !== undefined) changes++;
  const most = moment.begun;
  for (let later = changes + 1; later <= most; later++)
    assert.equal(union.findReply(keyOf(later)), undefined, `change ${later} is there without change ${changes + 1}`);
  assert.ok(changes >= least, `${changes} changes are there, and ${least} were promised`);
  assert.ok(changes <= most, `${changes} changes are there, and ${most} were begun`);
  const seen = snapshot(union);
  if (!isDeepStrictEqual(seen, world.states[changes]))
    assert.deepEqual(seen, world.states[changes], `it shows another state than that after ${changes} changes`);
  assert.ok(journal.state.nextInode >= moment.nextInode, "inode numbers that a client has seen are given out again");
  const isSame = union.writeVerifier.toString("hex") === moment.verifier;
  if (moment.verifier !== "" && expected !== "any")
    assert.equal(isSame ? "same" : "changed", expected, "the write verifier is another than it should be");
  const pins = journal.snapshots.list().map(({ name }) => name);
  for (const pin of pins) assert.ok(changesAt(pin) <= changes, `the pin ${pin} is there without what it shows`);
  return { changes, state: describeState(journal.state), pins };
}

/** It shows what the journal showed when the pin was taken; only one of the same lineage knows answers. */
export async function examineFork(world: CrashWorld, directory: string, name: string, boot: number): Promise<void> {
  const union = await world.openJournal(directory, boot, lookingLimits);
  const changes = changesAt(name);
  assert.deepEqual(snapshot(union), world.states[changes], `the fork ${name} shows something else`);
  const knows = (change: number) => union.findReply(keyOf(change)) !== undefined;
  if (changes > 0) assert.equal(knows(changes), lineageOf(name) === "same", `the fork ${name} and an old answer`);
  assert.ok(!knows(changes + 1), `the fork ${name} knows an answer that was given after it`);
  await union.close();
  world.options.count("forks");
}
