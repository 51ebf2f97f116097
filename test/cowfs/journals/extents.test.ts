import assert from "node:assert/strict";
import test from "ava";
import {
  clearRange,
  countBytes,
  type Extent,
  findExtent,
  layExtent,
  lowerAddress,
} from "../../../cowfs/journals/extents.ts";
import fc from "../../property.ts";

const fileBytes = 64;
const step = fc.record({
  clears: fc.boolean(),
  offset: fc.nat(fileBytes - 1),
  length: fc.integer({ min: 1, max: 16 }),
  isLower: fc.boolean(),
});

test("extents say of every byte where it lies, as a plain table of addresses does", (t) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const extents: Extent[] = [];
      const table: (number | undefined)[] = Array(fileBytes + 16).fill(undefined);
      let next = 1000;
      for (const { clears, offset, length, isLower } of steps) {
        const address = isLower ? lowerAddress : next;
        if (clears) clearRange(extents, offset, offset + length);
        else layExtent(extents, { offset, length, address });
        for (let at = offset; at < offset + length; at++)
          table[at] = clears ? undefined : isLower ? lowerAddress : address + at - offset;
        // Sometimes the next piece continues this one, and the two become one.
        next += length + (length % 2);
      }
      assert.deepEqual(
        table.map((_, at) => addressOf(extents, at)),
        table,
      );
      assert.equal(countBytes(extents, 5, 40), table.slice(5, 40).filter((address) => address !== undefined).length);
      for (let index = 1; index < extents.length; index++)
        assert.ok(extents[index].offset >= extents[index - 1].offset + extents[index - 1].length);
    }),
    { numRuns: 500 },
  );
  t.pass();
});

function addressOf(extents: readonly Extent[], at: number): number | undefined {
  const extent = extents[findExtent(extents, at)];
  if (extent === undefined || extent.offset > at) return undefined;
  return extent.address === lowerAddress ? lowerAddress : extent.address + at - extent.offset;
}

test("pieces that follow each other in file and segment are one extent", (t) => {
  const extents: Extent[] = [];
  for (let index = 0; index < 1000; index++)
    layExtent(extents, { offset: index * 4, length: 4, address: 100 + index * 4 });
  t.deepEqual(extents, [{ offset: 0, length: 4000, address: 100 }]);
});
