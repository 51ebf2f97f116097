/** A server that is killed: files that were open without a name, the mount that it leaves, and who may open its journal. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import { rm } from "node:fs/promises";
import path from "node:path";
import { createInterface } from "node:readline";
import test, { type ExecutionContext } from "ava";
import { execa } from "execa";
import { Journal } from "../../../cowfs/journals/journal.ts";
import { openUnion } from "../../../cowfs/union/union.ts";
import { makeFastDirectory } from "../fast-directory.ts";
import { resolveFrom } from "../union/layers.ts";
import { listNames } from "../union/snapshot.ts";
import { makeDirectory } from "./mounted.ts";

const program = new URL("./serve-union.ts", import.meta.url).pathname;

async function serve(t: ExecutionContext, journal: string, directory: string): Promise<ChildProcess> {
  const server = spawn(process.execPath, [program, journal, directory], { stdio: ["ignore", "pipe", "inherit"] });
  t.teardown(async () => {
    server.kill("SIGKILL");
    await execa("umount", ["-l", directory], { reject: false });
  });
  const [line] = await once(createInterface({ input: server.stdout! }), "line");
  t.is(line, "mounted");
  return server;
}

async function kill(server: ChildProcess): Promise<void> {
  const exit = once(server, "exit");
  server.kill("SIGKILL");
  await exit;
}

test("files that were open without a name are gone with a server that is killed, all else is there, and it is served again", async (t) => {
  const home = makeFastDirectory();
  t.teardown(() => rm(home, { recursive: true, force: true }));
  const journal = path.join(home, "journal");
  const directory = await makeDirectory(t);
  const server = await serve(t, journal, directory);
  // Holds a file of 1 MiB that has no name any more, and says what happens to it.
  const script = `cd "$0"; echo kept > kept; exec 3<> open; rm open; head -c 1048576 /dev/zero >&3; stat -L -c %h /proc/self/fd/3
    read line; cat kept > /dev/null 2>&1 && echo read || echo refused; echo x >&3 2> /dev/null && echo written || echo refused`;
  const holder = spawn("sh", ["-c", script, directory], { stdio: ["pipe", "pipe", "ignore"] });
  t.teardown(() => void holder.kill("SIGKILL"));
  const lines = createInterface({ input: holder.stdout })[Symbol.asyncIterator]();
  t.is((await lines.next()).value, "0");

  t.throws(() => Journal.open(journal), { code: "in-use", message: new RegExp(`process ${server.pid}`) });
  await kill(server);
  holder.stdin.write("\n");
  t.deepEqual([(await lines.next()).value, (await lines.next()).value], ["refused", "refused"]);
  holder.stdin.end();

  const union = await openUnion({ journal, resolve: resolveFrom({}), signal: new AbortController().signal });
  t.deepEqual(listNames(union, union.rootId), ["kept"]);
  const { state } = union.core.journal;
  t.deepEqual([state.inodes.size, state.use.total], [2, 5]);
  // The mount of the dead server is in the way of nobody but of a mount at its place, which says what to do.
  const error = await t.throwsAsync(
    execa(process.execPath, [program, path.join(home, "another"), directory], { timeout: 120_000 }),
  );
  t.regex(error!.message, /umount -l/);
  await execa("umount", ["-l", directory]);
  await union.close();
  await serve(t, journal, directory);
  const { stdout } = await execa("sh", ["-c", 'cd "$0"; ls -a; cat kept', directory], { timeout: 120_000 });
  t.deepEqual(stdout.split("\n"), [".", "..", "kept", "kept"]);
  t.true(fs.existsSync(journal));
});
