import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import test, { type ExecutionContext } from "ava";

const module = new URL("../../scripts/bootstrap/run-child.cjs", import.meta.url).pathname;

/** Counts what it gets, ends with 7 some time after the first SIGINT; SIGTERM ends it at once with 8. */
const program = `
  let interrupts = 0;
  process.on("SIGINT", () => { if (++interrupts === 1) setTimeout(() => { console.log("interrupts", interrupts); process.exit(7); }, 300); });
  process.on("SIGTERM", () => { console.log("terminated"); process.exit(8); });
  setInterval(() => {}, 1000);
  console.log("ready", process.pid);`;

function startBootstrap(t: ExecutionContext): { wrapper: ChildProcess; lines: AsyncIterator<string> } {
  const script = `
    const { runChild, endLike } = require(${JSON.stringify(module)});
    runChild([process.execPath, "-e", ${JSON.stringify(program)}], { endWithUs: true }).then((r) => { process.exitCode = r.code; if (r.signal) endLike(r); });`;
  const wrapper = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  t.teardown(() => wrapper.kill("SIGKILL"));
  return { wrapper, lines: createInterface({ input: wrapper.stdout! })[Symbol.asyncIterator]() };
}

test("Ctrl-C that arrives twice, from the terminal and from npm, reaches the program once, and its exit code comes back", async (t) => {
  const { wrapper, lines } = startBootstrap(t);
  const exit = once(wrapper, "exit");
  t.regex((await lines.next()).value, /^ready/);
  wrapper.kill("SIGINT");
  await delay(50);
  wrapper.kill("SIGINT");
  t.is((await lines.next()).value, "interrupts 1");
  t.deepEqual(await exit, [7, null]);
});

test("a program ends when what started it is killed outright", async (t) => {
  const { wrapper, lines } = startBootstrap(t);
  const [, pid] = ((await lines.next()).value as string).split(" ");
  t.teardown(() => {
    try {
      process.kill(Number(pid), "SIGKILL");
    } catch {}
  });
  wrapper.kill("SIGKILL");
  t.is((await lines.next()).value, "terminated");
});
