import test from "ava";
import { decodeTrace, encodeTrace, mergeTraces } from "../../../xenostore/traces/boot-trace.ts";
import fc from "../../property.ts";

const treeId = (digit: string) => digit.repeat(64);

test("a trace is read as it was written", (t) => {
  const id = fc.stringMatching(/^[0-9a-f]{64}$/);
  const chunks = fc.uniqueArray(fc.nat(2 ** 32 - 1), { maxLength: 20 });
  fc.assert(
    fc.property(fc.dictionary(id, chunks, { maxKeys: 5 }), (sections) => {
      const trace = new Map(Object.entries(sections));
      t.deepEqual(decodeTrace(encodeTrace(trace)), trace);
    }),
  );
});

test("a trace that is cut, longer, or not one is refused, wherever", (t) => {
  const bytes = encodeTrace(
    new Map([
      [treeId("a"), [5, 1]],
      [treeId("b"), []],
    ]),
  );
  for (let length = 0; length < bytes.length; length++)
    t.throws(() => decodeTrace(bytes.subarray(0, length)), { code: "object-damaged" }, `${length}`);
  t.throws(() => decodeTrace(Buffer.concat([bytes, Buffer.alloc(1)])), { code: "object-damaged" });
  for (const [at, value, code] of [
    [0, 1, "object-damaged"],
    [8, 2, "trace-too-new"],
    [12, 1e6, "object-damaged"],
    [48, 2 ** 31, "object-damaged"],
  ] as const) {
    const changed = Buffer.from(bytes);
    changed.writeUInt32LE(value, at);
    t.throws(() => decodeTrace(changed), { code }, `${at}`);
  }
});

test("a merged trace keeps the first one's order, and has what only the second one read after it", (t) => {
  const first = new Map([[treeId("a"), [3, 1]]]);
  const second = new Map([
    [treeId("a"), [2, 1, 0]],
    [treeId("b"), [7]],
  ]);
  t.deepEqual(
    [...mergeTraces(first, second)],
    [
      [treeId("a"), [3, 1, 2, 0]],
      [treeId("b"), [7]],
    ],
  );
});
