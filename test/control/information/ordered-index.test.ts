import test from "ava";
import { type Entry, OrderedIndex } from "../../../control/information/ordered-index.ts";
import fc from "../../property.ts";

const value = fc.oneof(fc.integer({ min: 0, max: 20 }), fc.constantFrom("a", "b"));
const entry = fc.record({ value, server: fc.integer({ min: 0, max: 400 }).map((id) => `s${id}`) });
const change = fc.record({ adds: fc.boolean(), entry });

const keyOf = ({ value: of, server }: Entry) => `${typeof of} ${String(of).padStart(3, "0")} ${server}`;

test("an index has what a sorted list would have, page by page, after any changes", (t) => {
  const changes = fc.array(change, { maxLength: 3000, minLength: 1000, size: "max" });
  fc.assert(
    fc.property(changes, value, value, fc.integer({ min: 1, max: 50 }), (all, from, to, limit) => {
      const index = new OrderedIndex();
      const model = new Map<string, Entry>();
      for (const { adds, entry: of } of all) {
        const isKnown = model.has(keyOf(of));
        if (adds && !isKnown) {
          index.add(of);
          model.set(keyOf(of), of);
        } else if (!adds) {
          t.is(index.remove(of), isKnown);
          model.delete(keyOf(of));
        }
      }
      const sorted = [...model.values()].sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
      const bounds = [keyOf({ value: from, server: "" }), keyOf({ value: to, server: "\uffff" })];
      const expected = sorted.filter((each) => keyOf(each) >= bounds[0]! && keyOf(each) <= bounds[1]!);
      t.is(index.size, model.size);
      t.is(Math.max(0, index.count({ from, to })), expected.length);
      const found: Entry[] = [];
      for (;;) {
        const page = index.list({ from, to }, limit, found.at(-1));
        if (page.length === 0) break;
        found.push(...page);
      }
      t.deepEqual(found, expected);
    }),
    { numRuns: 30 },
  );
});
