import test from "ava";
import { GroupSync } from "../../../cowfs/journals/group-sync.ts";
import { createRandom, testSeed } from "../../random.ts";

/** Syncs that take some turns of the microtask queue; fails where two run at a time. */
function makeSyncs(turns: () => number) {
  const seen = { written: 0, covered: 0, count: 0, most: 0 };
  let running = 0;
  const syncs = new GroupSync(async () => {
    seen.count++;
    seen.most = Math.max(seen.most, ++running);
    const { written } = seen;
    for (let left = turns(); left > 0; left--) await undefined;
    seen.covered = Math.max(seen.covered, written);
    running--;
  });
  const write = async () => {
    const own = ++seen.written;
    syncs.note();
    await syncs.request();
    return seen.covered >= own;
  };
  return { seen, syncs, write };
}

test("who asks again in the very turn in which a sync ends shares the next one: two never run at a time", async (t) => {
  const { seen, write } = makeSyncs(() => 3);
  const first = write().then(write);
  const waiting = [write(), write()];
  t.deepEqual(await Promise.all([first, ...waiting]), [true, true, true]);
  t.is(seen.most, 1);
  t.is(seen.count, 2);
});

test("all that ask in the turn in which none runs share one, and so do those whom it wakes", async (t) => {
  const { seen, write } = makeSyncs(() => 3);
  await Promise.all(Array.from({ length: 16 }, () => write().then(write)));
  t.is(seen.written, 32);
  t.is(seen.count, 2);
});

test("however many ask, and whenever, each is covered, by one sync at a time", async (t) => {
  const random = createRandom(testSeed);
  const { seen, write } = makeSyncs(() => random(6));
  const client = async () => {
    for (let count = 0; count < 200; count++) {
      for (let left = random(12); left > 0; left--) await undefined;
      if (!(await write())) return false;
    }
    return true;
  };
  t.deepEqual(await Promise.all(Array.from({ length: 8 }, client)), Array(8).fill(true));
  t.is(seen.most, 1);
  t.true(seen.count < 1600, "they share");
});

test("a sync that fails rejects who asked for it, and the next one is another", async (t) => {
  let count = 0;
  const syncs = new GroupSync(async () => {
    if (++count === 1) throw new Error("the disk is broken");
  });
  syncs.note();
  const first = syncs.request();
  await undefined;
  syncs.note();
  const second = syncs.request();
  await t.throwsAsync(first, { message: "the disk is broken" });
  await t.notThrowsAsync(second);
  t.is(count, 2);
  await syncs.settled();
});
