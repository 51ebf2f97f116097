import test from "ava";
import { RecordError, RecordReader } from "../../../cowfs/nfs/rpc/records.ts";
import fc from "../../property.ts";
import { mark } from "./client.ts";

/** Feeds a stream in pieces of the given sizes and collects the records. */
function readRecords(reader: RecordReader, stream: Buffer, sizes: readonly number[]): Buffer[] {
  const records: Buffer[] = [];
  let at = 0;
  for (let i = 0; at < stream.length; i++) {
    const space = reader.space();
    const count = Math.min(space.length, sizes[i % sizes.length], stream.length - at);
    stream.copy(space, 0, at, at + count);
    at += count;
    reader.filled(count);
    while (reader.next()) {
      records.push(Buffer.from(reader.memory.bytes.subarray(reader.recordStart, reader.recordEnd)));
    }
  }
  return records;
}

const fragments = fc.array(fc.uint8Array({ maxLength: 300 }), { minLength: 1, maxLength: 5 });
const sizes = fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 8 });

test("records come out whole, however they are cut into fragments and reads", (t) => {
  fc.assert(
    fc.property(fc.array(fragments, { maxLength: 12 }), sizes, (messages, cuts) => {
      const stream = Buffer.concat(
        messages.flatMap((parts) => parts.map((part, i) => mark(Buffer.from(part), i === parts.length - 1))),
      );
      const expected = messages.map((parts) => Buffer.concat(parts));
      t.deepEqual(readRecords(new RecordReader(2000), stream, cuts), expected);
    }),
    { numRuns: 300 },
  );
});

test("a record of the largest size is read without moving it, after small ones and before them", (t) => {
  const largest = 1024 * 1024 + 4096;
  const reader = new RecordReader(largest);
  const big = Buffer.alloc(largest, 7);
  const stream = Buffer.concat([mark(Buffer.from("small")), mark(big), mark(big), mark(Buffer.from("last"))]);
  const records = readRecords(reader, stream, [1 << 20, 65536, 13]);
  t.deepEqual(
    records.map((record) => record.length),
    [5, largest, largest, 4],
  );
  t.true(records[1].equals(big));
});

test("records that had to wait are taken out after more was received", (t) => {
  const reader = new RecordReader(1000);
  const stream = Buffer.concat([mark(Buffer.from("one")), mark(Buffer.from("two")), mark(Buffer.from("three"))]);
  const first = reader.space();
  stream.copy(first, 0, 0, 16);
  reader.filled(16);
  t.true(reader.next());
  const second = reader.space();
  // The second record is taken while the socket may already be reading into `second`.
  t.true(reader.next());
  t.is(reader.memory.bytes.toString("latin1", reader.recordStart, reader.recordEnd), "two");
  stream.copy(second, 0, 16);
  reader.filled(stream.length - 16);
  t.true(reader.next());
  t.is(reader.memory.bytes.toString("latin1", reader.recordStart, reader.recordEnd), "three");
});

const refused: [string, Buffer][] = [
  ["a record over the limit", Buffer.from("800003e9", "hex")],
  ["a length of 2^31 - 1", Buffer.from("ffffffff", "hex")],
  ["fragments that add up over the limit", Buffer.concat([mark(Buffer.alloc(600), false), mark(Buffer.alloc(600))])],
  ["endless empty fragments", Buffer.alloc(4000)],
  ["an HTTP request", Buffer.from("GET / HTTP/1.1\r\n\r\n")],
];

for (const [name, stream] of refused) {
  test(`gives up ${name}`, (t) => {
    t.throws(() => readRecords(new RecordReader(1000), stream, [4096]), { instanceOf: RecordError });
  });
}
