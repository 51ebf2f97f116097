/** A writer that is killed at any moment, and who may open what it left. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { createInterface } from "node:readline";
import test, { type ExecutionContext } from "ava";
import { Journal } from "../../../cowfs/journals/journal.ts";
import { contentOf, scratchDirectory } from "./scratch.ts";

const writer = path.join(import.meta.dirname, "writer.ts");

function startWriter(t: ExecutionContext, directory: string): ChildProcess {
  const child = spawn(process.execPath, [writer, directory], { stdio: ["ignore", "pipe", "inherit"] });
  t.teardown(() => void child.kill("SIGKILL"));
  return child;
}

/** Kills the writer some microseconds after its nth answer; returns the last one that it gave. */
async function killAfter(child: ChildProcess, answers: number, delay: number): Promise<number> {
  const exit = once(child, "exit");
  let last = -1;
  let count = 0;
  for await (const line of createInterface({ input: child.stdout! })) {
    last = Number(line);
    if (++count !== answers) continue;
    const end = performance.now() + delay;
    while (performance.now() < end);
    child.kill("SIGKILL");
  }
  await exit;
  return last;
}

test("a writer that is killed at any moment loses nothing that it had flushed, and its lock goes with it", async (t) => {
  const directory = scratchDirectory(t);
  for (let round = 0; round < 6; round++) {
    const last = await killAfter(startWriter(t, directory), 1 + Math.floor(Math.random() * 100), Math.random() * 2);
    const journal = Journal.open(directory);
    const count = journal.state.replies.size;
    t.true(count > last, `${count} files, and ${last} was the last that was answered`);
    for (let index = 0; index < count; index++)
      if (contentOf(journal, `file ${index}`) !== `content ${index} `.repeat(1 + (index % 50)))
        t.fail(`file ${index} of ${count}`);
    await journal.close();
  }
});

test("a journal that is open is refused to a second opener, in this process or another, and its holder is named", async (t) => {
  const directory = scratchDirectory(t);
  const child = startWriter(t, directory);
  await once(child.stdout!, "data");
  const error = t.throws(() => Journal.open(directory), { code: "in-use" });
  t.true(error!.message.includes(`process ${child.pid}`) && error!.message.includes(directory), error!.message);
  const exit = once(child, "exit");
  child.kill("SIGKILL");
  await exit;
  const journal = Journal.open(directory);
  const again = t.throws(() => Journal.open(directory), { code: "in-use" });
  t.true(again!.message.includes(`process ${process.pid}`), again!.message);
  await journal.close();
  await Journal.open(directory).close();
});
