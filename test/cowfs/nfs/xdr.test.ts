import test from "ava";
import { viewMemory, XdrError, XdrReader, XdrWriter } from "../../../cowfs/nfs/xdr.ts";

function readerOf(hex: string): XdrReader {
  const memory = viewMemory(Buffer.from(hex.replaceAll(" ", ""), "hex"));
  const reader = new XdrReader();
  reader.attach(memory, 0, memory.bytes.length);
  return reader;
}

const readable: [string, string, (reader: XdrReader) => unknown, unknown][] = [
  ["a uint32", "ffffffff", (r) => r.readUint32(), 0xffffffff],
  ["a uint64 up to 2^53 - 1", "001fffff ffffffff", (r) => r.readUint64(), Number.MAX_SAFE_INTEGER],
  ["a larger uint64 stays larger", "ffffffff ffffffff", (r) => r.readUint64() > Number.MAX_SAFE_INTEGER, true],
  ["a string with its padding", "00000003 61ff6300", (r) => [r.readString(3), r.position], ["a\xffc", 8]],
  ["an empty string", "00000000", (r) => r.readString(0), ""],
  ["an opaque that fills its words", "00000004 01020304", (r) => [...r.readOpaque(4)], [1, 2, 3, 4]],
];

for (const [name, hex, read, expected] of readable) {
  test(`reads ${name}`, (t) => {
    t.deepEqual(read(readerOf(hex)), expected);
  });
}

const refused: [string, string, (reader: XdrReader) => unknown][] = [
  ["a cut uint32", "0000", (r) => r.readUint32()],
  ["a cut uint64", "0000000000", (r) => r.readUint64()],
  ["a cut 64-bit verifier", "00000000000000", (r) => r.readBigUint64()],
  ["a string longer than its bound", "00000004 61626364", (r) => r.readString(3)],
  ["a string longer than the message", "00000005 61626364", (r) => r.readString(100)],
  ["a string whose padding is cut", "00000003 616263", (r) => r.readString(100)],
  ["a length of 2^32 - 1", "ffffffff 00000000", (r) => r.readOpaque(0xffffffff)],
  ["a length of 2^31", "80000000 00000000", (r) => r.readOpaque(0xffffffff)],
  ["a length just below 2^32 that padding would overflow", "fffffffd", (r) => r.skipOpaque(0xffffffff)],
];

for (const [name, hex, read] of refused) {
  test(`refuses ${name}`, (t) => {
    t.throws(() => read(readerOf(hex)), { instanceOf: XdrError });
  });
}

test("does not read past its end into what the buffer holds besides", (t) => {
  const reader = new XdrReader();
  reader.attach(viewMemory(Buffer.alloc(64)), 8, 14);
  reader.readUint32();
  t.throws(() => reader.readUint32(), { instanceOf: XdrError });
});

test("writes what it is given, and zeroes padding in memory that was used before", (t) => {
  const memory = viewMemory(Buffer.alloc(64, 0xee));
  const writer = new XdrWriter();
  writer.attach(memory, 0, 64);
  writer.writeUint32(0xdeadbeef);
  writer.writeUint64(Number.MAX_SAFE_INTEGER);
  writer.writeString("\xe9");
  writer.writeString("x".repeat(34));
  t.is(
    memory.bytes.toString("hex", 0, writer.position),
    `deadbeef001fffffffffffff00000001e900000000000022${"78".repeat(34)}0000`,
  );
});

test("asks for room before it runs over its end", (t) => {
  const writer = new XdrWriter();
  writer.attach(viewMemory(Buffer.alloc(8)), 4, 8);
  t.notThrows(() => writer.ensure(4));
  t.throws(() => writer.ensure(5), { instanceOf: RangeError });
});
