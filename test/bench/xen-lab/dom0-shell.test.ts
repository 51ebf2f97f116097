import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import test, { type ExecutionContext } from "ava";
import { Dom0Shell } from "../../../bench/xen-lab/dom0-shell.ts";

/** As serve-shell.sh, which says `first` to whoever comes. */
async function serve(t: ExecutionContext, first = ""): Promise<Dom0Shell> {
  const directory = await mkdtemp(join(tmpdir(), "xeno-shell-"));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.write(first);
    createInterface({ input: socket }).on("line", (line) => {
      execFile("sh", ["-c", `(${line}) 2>&1`], (error, stdout) => socket.write(`${stdout}\0${error?.code ?? 0}\n`));
    });
  });
  server.listen(join(directory, "shell"));
  await once(server, "listening");
  t.teardown(() => void server.close());
  return new Dom0Shell(join(directory, "shell"));
}

const signal = new AbortController().signal;

test("a command's output and status are told, and a failed one is an error where that is asked", async (t) => {
  const shell = await serve(t);
  t.deepEqual(await shell.run("echo one; echo two >&2; exit 3", signal), { status: 3, output: "one\ntwo\n" });
  t.is(await shell.require("printf x", signal), "x");
  await t.throwsAsync(shell.require("false", signal), { code: "dom0-command-failed" });
});

test("what a command printed whose caller has gone is nobody's", async (t) => {
  const shell = await serve(t, "of before\n\x000\n");
  t.deepEqual(await shell.run("echo now", signal), { status: 0, output: "now\n" });
});
