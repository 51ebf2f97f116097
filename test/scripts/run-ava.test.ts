/** What `npm test` says and counts when tests fail, hang and crash: ava runs for real, in a project of its own. */
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import test, { type ExecutionContext } from "ava";
import { root } from "../../scripts/root.ts";
import { type AvaOptions, runAva } from "../../scripts/tests/run-ava.ts";

async function run(t: ExecutionContext, files: Record<string, string>, options: Partial<AvaOptions> = {}) {
  const cwd = mkdtempSync(join(tmpdir(), "xeno-run-ava-"));
  t.teardown(() => rmSync(cwd, { recursive: true }));
  symlinkSync(join(root, "node_modules"), join(cwd, "node_modules"));
  writeFileSync(join(cwd, "package.json"), JSON.stringify({ type: "module", ava: { files: ["*.js"] } }));
  for (const [name, body] of Object.entries(files))
    writeFileSync(join(cwd, name), `import fs from "node:fs";\nimport test from "ava";\n${body}\n`);
  const lines: string[] = [];
  const show = (line: string) => lines.push(line.trim());
  const flags = ["--timeout", "15s", "--concurrency", "2"];
  const outcome = await runAva(Object.keys(files), flags, { cwd, show, ...options });
  return { ...outcome, lines };
}

async function until(isSo: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 120_000; !isSo(); await delay(50))
    if (Date.now() > deadline) throw new Error("it has not come to pass in 120 s");
}

const passes = 'test("passes", (t) => t.pass());';

test("passes, failures and skips are counted and shown, and what a failure says", async (t) => {
  const { passed, failed, skipped, interrupted, lines } = await run(t, {
    "a.js": `${passes} test("fails", (t) => t.is(1, 2)); test.skip("waits", (t) => t.pass()); test.todo("some day");`,
    "b.js": `${passes} test.failing("is known", (t) => t.fail()); test("names ✘ well", (t) => t.pass());`,
  });
  t.deepEqual({ passed, failed, skipped, interrupted }, { passed: 4, failed: 1, skipped: 2, interrupted: false });
  t.true(lines.some((line) => line.startsWith("✘ [fail]: a › fails")));
  t.true(lines.some((line) => line.includes("Difference")));
});

test("a test that hangs is named and fails, and the files after it run", async (t) => {
  const hangs = 'test("hangs", () => { setInterval(() => {}, 1000); return new Promise(() => {}); });';
  const { passed, failed, lines } = await run(t, {
    "a.js": `${passes} ${hangs}`,
    "b.js": hangs,
    "c.js": passes,
  });
  t.deepEqual([passed, failed], [2, 2], lines.join("\n"));
  t.true(lines.includes("◌ a › hangs"));
  t.true(lines.includes("◌ b › hangs"));
});

test("a test that hangs in a system call is named, the rest runs, and ava is killed", async (t) => {
  const blocks = `import { execFileSync } from "node:child_process";
    test("blocks", () => { execFileSync("mkfifo", ["fifo"]); setTimeout(() => fs.openSync("fifo"), 1000); return new Promise(() => {}); });`;
  const { passed, failed, lines } = await run(
    t,
    { "a.js": blocks, "b.js": passes, "c.js": passes },
    { quietMs: 25_000 },
  );
  t.deepEqual([passed, failed], [2, 1], lines.join("\n"));
  t.true(lines.includes("◌ a › blocks"));
  t.regex(lines.at(-1)!, /^✘ ava was killed/);
});

test("crashes of a file and errors that nobody caught are failures", async (t) => {
  const { passed, failed, lines } = await run(t, {
    "a.js": `${passes} process.exit(3);`,
    "b.js": 'throw new Error("at once");',
    "c.js": `${passes} test("rejects", async (t) => { Promise.reject(new Error("nobody")); await new Promise((r) => setTimeout(r, 50)); t.pass(); });`,
    "d.js": "",
  });
  t.true(passed >= 2, lines.join("\n"));
  t.true(failed >= 3, lines.join("\n"));
});

// Before the others, whose avas the signal would end, too.
test.serial("terminated, its workers end with it", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "xeno-run-ava-"));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const told = join(directory, "worker");
  const goesOn = `test("goes on", () => {
    fs.writeFileSync(${JSON.stringify(told)}, process.pid + " ");
    setInterval(() => {}, 1000);
    return new Promise(() => {});
  });`;
  const running = run(t, { "a.js": goesOn });
  const isTold = () => existsSync(told) && readFileSync(told, "utf8").endsWith(" ");
  await until(isTold);
  process.kill(process.pid, "SIGTERM");
  t.true((await running).interrupted);
  const worker = Number(readFileSync(told, "utf8"));
  await until(() => !existsSync(`/proc/${worker}`));
  t.pass();
});

test("no files to run are one failure", async (t) => {
  t.like(await run(t, {}), { passed: 0, failed: 1 });
});
