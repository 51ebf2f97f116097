import path from "node:path";
import test from "ava";
import { execa } from "execa";
import { root } from "../../../scripts/root.ts";

const program = path.join(root, "control", "demo", "main.ts");

for (const [flags, reason] of [
  [["--fast"], /npm start: Unknown option '--fast'/],
  [["--paid", "--unpaid"], /npm start: it is either --paid or --unpaid/],
] as const)
  test(`npm start with ${flags.join(" ")} starts nothing, and says what it takes`, async (t) => {
    const { exitCode, stderr } = await execa(process.execPath, ["--no-warnings", program, ...flags], { reject: false });
    t.is(exitCode, 2);
    t.regex(stderr, reason);
    t.true(stderr.endsWith("Usage: npm start -- [--once] [--json] [--paid | --unpaid]"));
  });
