/** The agent as a guest runs it, by Debian's sh and by busybox's, in a directory of this machine: the test is the XenoServer. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, readdir, readFile, readlink, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { execa } from "execa";
import { type AssignedProgram, composeAssignment, readOutcome } from "../../../xenod/programs/assignment.ts";
import { poll } from "../test-guest.ts";

const agent = new URL("../../../xenod/programs/agent.sh", import.meta.url).pathname;
const limits = { entry: "run", seconds: 600, outputBytes: 100_000 };

/** Not in memory: tmpfs may know no O_DIRECT. */
async function prepare(t: ExecutionContext, shell: readonly string[]) {
  const directory = await mkdtemp("/var/tmp/xeno-programs-");
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  const assign = (...programs: AssignedProgram[]) => writeFile(join(directory, "next"), composeAssignment(programs));
  await assign();
  let running: ChildProcess | undefined;
  const start = () => {
    const [command, ...options] = [...shell, agent, directory];
    // In a process group of its own, as its programs are in theirs.
    running = spawn(command!, options, { stdio: ["ignore", "ignore", "inherit"], detached: true });
  };
  const stop = async () => {
    if (running === undefined || running.exitCode !== null || running.signalCode !== null) return;
    const ended = once(running, "exit");
    process.kill(-running.pid!, "SIGKILL");
    await ended;
  };
  t.teardown(async () => {
    await stop();
    // What a program of a test that failed may have left is in its directory.
    for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
      const where = await readlink(`/proc/${pid}/cwd`).catch(() => "");
      if (where.startsWith(directory)) process.kill(Number(pid), "SIGKILL");
    }
  });
  const read = (name: string) => readFile(join(directory, name), "utf8").catch(() => undefined);
  const ends = async (id: string) => {
    await poll(`${id} to end`, async () => (await read(`${id}.status`)) !== undefined);
    return readOutcome((await read(`${id}.status`))!);
  };
  return {
    ...{ directory, assign, start, stop, read, ends },
    has: async (name: string) => (await readdir(directory)).includes(name),
    async lay(id: string, script: string) {
      const parts = join(directory, `${id}.parts`);
      await mkdir(parts);
      await writeFile(join(parts, "run"), `#!/bin/sh\n${script}\n`);
      await chmod(join(parts, "run"), 0o755);
      await execa("tar", ["-cf", join(directory, `${id}.tar`), "-C", parts, "run"]);
      await rm(parts, { recursive: true });
    },
  };
}

for (const shell of [["sh"], ["busybox", "sh"]]) {
  const by = shell.join(" ");

  test(`the agent runs what is listed, once, and tells how it ended (${by})`, async (t) => {
    const { assign, start, stop, read, ends, has, lay } = await prepare(t, shell);
    await lay("a-1", 'echo "hello from $(basename "$PWD")"; echo trouble >&2; echo ran >>../a-1.count; exit 3');
    await lay("a-11", "while echo more; do sleep 0.01; done");
    start();
    await assign({ ...limits, id: "a-1" }, { ...limits, id: "a-11", outputBytes: 500 });
    t.deepEqual(await ends("a-1"), { state: "exited", code: 3 });
    t.is(await read("a-1.output"), "hello from a-1\ntrouble\n");
    t.deepEqual(await ends("a-11"), { state: "output" });
    t.false(await has("a-1.tar"));
    await stop();
    start();
    await lay("a-2", "exit 0");
    await assign({ ...limits, id: "a-1" }, { ...limits, id: "a-2" });
    t.deepEqual(await ends("a-2"), { state: "exited", code: 0 });
    t.is(await read("a-1.count"), "ran\n", "it does not run again");
    await poll("what is not listed to be forgotten", async () => !(await has("a-11.status")));
    t.false(await has("a-11.output"));
    t.true(await has("a-1.status"));
  });

  test(`the agent kills what is over its time or no longer listed, and all that it started (${by})`, async (t) => {
    const { assign, start, read, ends, has, lay } = await prepare(t, shell);
    const script = "sleep 1000 & echo $! >pid; echo begun; wait";
    for (const id of ["b-1", "b-2"]) await lay(id, script);
    start();
    const late = { ...limits, id: "b-1", seconds: 1 };
    await assign(late, { ...limits, id: "b-2" });
    t.deepEqual(await ends("b-1"), { state: "timeout" });
    await poll("the other to have begun", async () => (await read("b-2.output")) === "begun\n");
    const child = Number(await read("b-2/pid"));
    t.true(await isAlive(child));
    await assign(late);
    await poll("it to be forgotten", async () => !(await has("b-2.status")) && !(await has("b-2")));
    await poll("what it started to be gone", async () => !(await isAlive(child)));
    t.deepEqual(await ends("b-1"), { state: "timeout" });
  });

  test(`what ran when the machine went down is lost, and what cannot be unpacked unusable (${by})`, async (t) => {
    const { directory, assign, start, ends, read } = await prepare(t, shell);
    await mkdir(join(directory, "c-1"));
    await writeFile(join(directory, "c-2.tar"), "this is no tar");
    start();
    // Half a list is none.
    await writeFile(join(directory, "next"), "xeno-programs 1\n".padEnd(4096, "\n"));
    await assign({ ...limits, id: "c-1" }, { ...limits, id: "c-2" }, { ...limits, id: "c-3" });
    t.deepEqual(await ends("c-1"), { state: "lost" });
    t.deepEqual(await ends("c-2"), { state: "unusable" });
    t.deepEqual(await ends("c-3"), { state: "unusable" });
    t.is(await read("c-1.output"), undefined);
  });
}

async function isAlive(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, "latin1").catch(() => undefined);
  return stat !== undefined && !/\) [ZX]/.test(stat);
}
