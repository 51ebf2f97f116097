import assert from "node:assert/strict";
import test from "ava";
import { JournalEntries } from "../../../cowfs/journals/entries.ts";
import fc from "../../property.ts";

const step = fc.record({
  name: fc.integer({ min: 0, max: 60 }).map((number) => `n${number}`),
  kind: fc.constantFrom("add", "add", "replace", "delete"),
});

test("entries are those of a plain table in the order of their cookies, after any cookie that was ever given", (t) => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 50, maxLength: 400 }), (steps) => {
      const entries = new JournalEntries();
      const table = new Map<string, { name: string; id: number; cookie: number }>();
      for (const [id, { name, kind }] of steps.entries()) {
        const known = table.get(name);
        if (kind === "delete") {
          entries.delete(name);
          table.delete(name);
        } else {
          const cookie = kind === "replace" && known !== undefined ? known.cookie : entries.nextCookie;
          entries.set({ name, id, cookie });
          table.set(name, { name, id, cookie });
        }
        assert.equal(entries.size, table.size);
        assert.equal(entries.get(name)?.id, table.get(name)?.id);
      }
      const sorted = [...table.values()].sort((a, b) => a.cookie - b.cookie);
      for (let cookie = 0; cookie < entries.nextCookie; cookie += 7)
        assert.deepEqual(
          [...entries.after(cookie)],
          sorted.filter((entry) => entry.cookie > cookie),
        );
    }),
    { numRuns: 100 },
  );
  t.pass();
});
