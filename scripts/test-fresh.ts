/**
 * `npm run test:fresh`: what a new user types, on a new Debian 12 that has only git and Debian's own npm (with Node 18),
 * so that a step which works only on this machine is seen. Needs root, mmdebstrap and the network.
 *
 * Arguments replace the commands, one npm command each: `npm run test:fresh -- "run lint" "start -- --once"`. What is
 * tested is HEAD: what is not committed is not in the clone.
 */
import { join } from "node:path";
import { makeBase } from "./fresh/make-base.ts";
import { runFresh } from "./fresh/run-fresh.ts";
import { root } from "./root.ts";

const commands = ["start -- --once --json", "test"];

if (process.getuid?.() !== 0) {
  console.error("test:fresh needs root, for mmdebstrap and namespaces: run it with sudo.");
  process.exit(77);
}

const abort = new AbortController();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => abort.abort());

const wanted = (process.argv.length > 2 ? process.argv.slice(2) : commands).map((command) => command.split(" "));
try {
  const base = await makeBase(join(root, ".xeno/fresh"), abort.signal);
  const codes = await runFresh(base, wanted, abort.signal);
  const passed = codes.filter((code) => code === 0).length;
  console.log(`${passed} passed, ${wanted.length - passed} failed`);
  process.exitCode = passed === wanted.length ? 0 : 1;
} catch (error) {
  if (!abort.signal.aborted) throw error;
  console.error("Interrupted.");
  process.exitCode = 130;
}
