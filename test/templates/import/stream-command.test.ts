import { buffer } from "node:stream/consumers";
import test from "ava";
import { XenoError } from "../../../cowfs/errors.ts";
import { streamCommand } from "../../../templates/import/stream-command.ts";

const fail = (reason: string, cause?: unknown) => new XenoError("failed", reason, { cause });
const shell = (script: string) => ["sh", "-c", script];

test("a program's output is consumed while it runs, and its stderr reported", async (t) => {
  const lines: string[] = [];
  const command = shell("echo step one >&2; echo content");
  const content = await streamCommand({ command, fail, onLine: (line) => lines.push(line) }, (out) => buffer(out));
  t.is(content.toString(), "content\n");
  t.deepEqual(lines, ["step one"]);
});

test("a program that fails, or is not there, is the failure, with the end of what it said", async (t) => {
  const spoilt = async (out: AsyncIterable<Buffer>) => {
    await buffer(out);
    throw new Error("the archive was cut off");
  };
  const failing = streamCommand({ command: shell("echo no space left >&2; exit 3"), fail }, spoilt);
  await t.throwsAsync(failing, { code: "failed", message: /ended with 3\n {2}no space left/ });
  await t.throwsAsync(streamCommand({ command: ["/no/such/program"], fail }, spoilt), {
    code: "failed",
    message: /such/,
  });
});

test("a consumer that gives up ends the program and everything that it started", async (t) => {
  const command = shell("sleep 60 & while :; do echo data; done");
  const reason = new Error("store full");
  const started = performance.now();
  const refused = streamCommand({ command, fail }, async (out) => {
    for await (const _ of out) throw reason;
  });
  t.is(await t.throwsAsync(refused), reason);
  t.true(performance.now() - started < 10_000);
});

test("an abort ends the program and is what comes out", async (t) => {
  const abort = new AbortController();
  const command = shell("echo started >&2; sleep 60");
  const running = streamCommand({ command, fail, signal: abort.signal, onLine: () => abort.abort() }, (out) =>
    buffer(out),
  );
  await t.throwsAsync(running, { name: "AbortError" });
});
