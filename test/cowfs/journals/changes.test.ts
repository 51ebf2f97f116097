import assert from "node:assert/strict";
import test from "ava";
import { ChangeReader, ChangeWriter } from "../../../cowfs/journals/changes.ts";
import type { Change } from "../../../cowfs/journals/state.ts";
import fc from "../../property.ts";

const id = fc.maxSafeNat();
const uint32 = fc.nat(0xffffffff);
const time = fc.record({ seconds: fc.maxSafeInteger(), nanoseconds: fc.nat(999_999_999) }, { noNullPrototype: true });
const name = fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes).toString("latin1"));
const blob = fc.uint8Array({ maxLength: 50 }).map((bytes) => Buffer.from(bytes));
const plain = { noNullPrototype: true };
const inode = fc.record(
  {
    id,
    mode: uint32,
    links: fc.maxSafeInteger(),
    uid: uint32,
    gid: uint32,
    size: id,
    deviceMajor: uint32,
    deviceMinor: uint32,
    accessed: time,
    modified: time,
    changed: time,
    parent: id,
    target: name,
    verifier: fc.option(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), { nil: undefined }),
  },
  plain,
);
const extent = fc.record({ offset: id, length: id, address: fc.maxSafeInteger() }, plain);
const slot = fc.record({ number: uint32, directory: id, url: name, identity: name, isOver: fc.boolean() }, plain);
const pin = fc.record(
  {
    name,
    position: fc.record({ sequence: id, checksum: uint32, epoch: uint32 }, plain),
    created: id,
    segments: fc.array(fc.record({ segment: uint32, bytes: uint32 }, plain)),
  },
  plain,
);
const kind = <K extends string>(of: K) => fc.constant(of);

const change: fc.Arbitrary<Change> = fc.oneof(
  fc.record({ kind: kind("put"), inode }, plain),
  fc.record({ kind: kind("drop"), id }, plain),
  fc.record({ kind: kind("enter"), directory: id, name, id: fc.maxSafeInteger(), cookie: id }, plain),
  fc.record({ kind: kind("remove"), directory: id, name }, plain),
  fc.record({ kind: kind("lay"), id, extent, checksum: uint32 }, plain),
  fc.record({ kind: kind("lay"), id, extent, checksum: uint32, region: fc.integer({ min: 2, max: 2047 }) }, plain),
  fc.record({ kind: kind("large"), id, size: fc.bigInt({ min: 2n ** 53n, max: 2n ** 63n - 1n }) }, plain),
  fc.record({ kind: kind("cut"), id, size: id }, plain),
  fc.record({ kind: kind("wrote"), id, size: id, mode: uint32, time }, plain),
  fc.record({ kind: kind("attribute"), id, name, value: fc.option(blob, { nil: undefined }) }, plain),
  fc.record({ kind: kind("slot"), slot }, plain),
  fc.record({ kind: kind("merge"), id, merges: fc.oneof(fc.constantFrom(0, -1), id) }, plain),
  fc.record({ kind: kind("mounted"), directory: id, time }, plain),
  fc.record({ kind: kind("reply"), key: name, bytes: blob }, plain),
  fc.record({ kind: kind("skip"), nextInode: id }, plain),
  fc.record({ kind: kind("pin"), pin }, plain),
  fc.record({ kind: kind("unpin"), name }, plain),
  fc.record({ kind: kind("fork"), keepsReplies: fc.boolean() }, plain),
);

function write(changes: readonly Change[]): Buffer {
  const writer = new ChangeWriter();
  for (const each of changes) writer.change(each);
  return writer.bytes();
}

test("changes are read as they were written", (t) => {
  fc.assert(
    fc.property(fc.array(change), (changes) => {
      assert.deepEqual([...new ChangeReader(write(changes)).changes()], changes);
    }),
    { numRuns: 300 },
  );
  t.pass();
});

test("bytes that end early or are none of ours are damage or of a newer release, never anything else", (t) => {
  fc.assert(
    fc.property(
      fc.array(change, { minLength: 1 }),
      fc.nat(),
      fc.uint8Array({ maxLength: 30 }),
      (changes, cut, noise) => {
        const whole = write(changes);
        for (const bytes of [whole.subarray(0, cut % whole.length), Buffer.concat([whole, noise]), Buffer.from(noise)])
          try {
            for (const _ of new ChangeReader(bytes).changes());
          } catch (error) {
            assert.match(String((error as { code?: string }).code), /^journal-(damaged|too-new)$/);
          }
      },
    ),
    { numRuns: 300 },
  );
  t.pass();
});

test("large changes make the buffer grow", (t) => {
  const value = Buffer.alloc(5 * 1024 * 1024, "x");
  const changes: Change[] = [{ kind: "attribute", id: 1, name: "user.large", value }];
  const [read] = new ChangeReader(write(changes)).changes();
  t.true(read.kind === "attribute" && read.value?.equals(value));
});
