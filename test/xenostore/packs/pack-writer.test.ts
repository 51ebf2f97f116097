import test from "ava";
import { PackWriter } from "../../../xenostore/packs/pack-writer.ts";

test("a large pack's buffer serves a later one once the pack is compressed, and not before", (t) => {
  const writer = new PackWriter();
  const chunk = Buffer.alloc(2 ** 20);
  const fill = (byte: number) => {
    for (let number = 0; ; number++) {
      const pack = writer.add(`${byte} ${number}`, chunk.fill(byte));
      if (pack !== undefined) return pack;
    }
  };
  const packs = [1, 2].map(fill);
  t.not(packs[0].bytes.buffer, packs[1].bytes.buffer);
  t.true(packs[0].bytes.every((byte) => byte === 1));
  packs[0].complete({ hash: "", bytes: Buffer.alloc(0), frameLengths: [] }, packs[0].bytes.buffer);
  const third = fill(3);
  t.is(third.bytes.buffer, packs[0].bytes.buffer);
  t.is(third.bytes.length, packs[0].bytes.length);
  t.true(packs[1].bytes.every((byte) => byte === 2));
});
