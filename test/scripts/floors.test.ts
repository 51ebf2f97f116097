import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import test from "ava";
import { findBadImports } from "../../scripts/checks/floors.ts";

test("imports may go down and sideways, not up, or out of the house", (t) => {
  const house = mkdtempSync(join(tmpdir(), "floors-"));
  t.teardown(() => rmSync(house, { recursive: true }));
  const files: Record<string, string> = {
    "cowfs/a.ts": 'import type { X } from "../xenod/a.ts";\nimport "./b.ts";',
    "cowfs/b.ts": "export {};",
    "xenod/a.ts": 'export * from "../cowfs/b.ts";\nimport fs from "node:fs";\nimport list from "../scripts/list.json";',
    "xenod/b.ts": 'const a = await import("../control/a.ts");',
    "control/a.ts": 'import {\n  x,\n} from "../elsewhere/a.ts";\nimport "../scripts/run.ts";',
    "scripts/list.json": "[]",
    "scripts/run.ts": 'import "../test/a.ts";',
    "test/a.ts": "",
    "elsewhere/a.ts": "",
  };
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(dirname(join(house, file)), { recursive: true });
    writeFileSync(join(house, file), text);
  }
  t.deepEqual(findBadImports(house), [
    "cowfs/a.ts: cowfs may not use xenod",
    "xenod/b.ts: xenod may not use control",
    'control/a.ts: "../elsewhere/a.ts" is on no floor',
    "control/a.ts: control may not use scripts",
    "scripts/run.ts: scripts may not use test",
  ]);
});
