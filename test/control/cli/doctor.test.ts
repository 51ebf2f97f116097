import { chown, mkdir } from "node:fs/promises";
import test from "ava";
import { makeXeno } from "./xeno.ts";

const nobody = 65_534;

test("doctor says what is missing and how to get it; exit code 1 when it is required", async (t) => {
  const xeno = await makeXeno(t);
  await mkdir(xeno.home);
  for (const path of [xeno.directory, xeno.home]) await chown(path, nobody, nobody);
  const { code, stdout, stderr } = await xeno.run(["doctor"], { as: nobody });
  t.is(code, 1);
  t.is(stderr, "");
  t.regex(stdout, /^missing {2}root +uid 65534\n +root, for .*: run it with sudo$/m);
  t.regex(stdout, /^ok {7}node +v2/m);
  const asRoot = await xeno.run(["doctor", "--json"]);
  const checks = JSON.parse(asRoot.stdout);
  const isMissing = checks.some(({ ok, required }: { ok: boolean; required: boolean }) => required && !ok);
  t.is(asRoot.code, isMissing ? 1 : 0);
  t.false(isMissing, "the machine that runs the tests has all that is required");
});
