import test from "ava";
import { selectTests } from "../../scripts/tests/select-tests.ts";

test("each test file runs once, in one of the suites", (t) => {
  const { unit, endToEnd, xenLab } = selectTests([]);
  for (const suite of [unit, endToEnd, xenLab]) t.true(suite.length > 0);
  const all = [...unit, ...endToEnd, ...xenLab];
  t.is(new Set(all).size, all.length);
  t.true(all.includes("test/scripts/select-tests.test.ts"));
});

test("a folder or a file selects what lies there, and nothing else", (t) => {
  t.deepEqual(selectTests(["./test/xen-lab/"]), {
    unit: [],
    endToEnd: [],
    xenLab: ["test/xen-lab/two-hosts.test.ts"],
  });
  t.deepEqual(selectTests(["test/scripts/select-tests.test.ts"]).unit, ["test/scripts/select-tests.test.ts"]);
  t.deepEqual(selectTests(["test/xen"]), { unit: [], endToEnd: [], xenLab: [] });
});
