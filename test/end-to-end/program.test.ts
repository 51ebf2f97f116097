/** Programs inside of a real guest's domain, by a session: its kernel believes to know its root, and sees what is new all the same. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import test from "ava";
import type { SessionsClient } from "../../control/sessions/client.ts";
import type { ProgramTask } from "../../control/sessions/tasks/program/program-task.ts";
import type { SimulatedMachine } from "../control/sessions/machine.ts";
import { requirements, withSelling } from "../control/sessions/selling.ts";
import { packTar } from "../templates/import/pack.ts";
import { publishFiles } from "../xenod/published.ts";
import { poll } from "../xenod/test-guest.ts";
import { publishTestKernel } from "./guest-kernel.ts";
import { startXenoServer } from "./xeno-server.ts";

/** No systemd: it starts the agent itself. What will change it reads before, so that its kernel has it in its cache. */
const init = `#!/bin/busybox sh
/bin/busybox --install -s /bin
cat /var/lib/xeno/programs/next >/dev/null
ls /var/lib/xeno/programs >/dev/null
/var/lib/xeno/programs/agent &
echo "guest: up"
while true; do sleep 1000; done
`;

test("programs run inside of a guest that runs: to their end, out of time, and until they are ended", async (t) => {
  const server = await startXenoServer(t);
  const { client, published, stateDirectory } = server;
  const kernel = await publishTestKernel(published);
  const files = { "bin/busybox": await readFile("/bin/busybox"), "sbin/init": init };
  const directories = ["dev", "proc", "sys", "root"];
  const overlay = await publishFiles(published, "web", files, { executables: Object.keys(files), directories });
  const state: SimulatedMachine["state"] = async (name) =>
    (await client.domains()).find((domain) => domain.name === name)?.state ?? "gone";
  await withSelling({ name: "a", client, server, overlay, kernel, state }, async ({ addClient, manager, defects }) => {
    const { begin, sessions } = await addClient();
    const { id } = await begin({ amount: 100_000, requirements: { ...requirements, QoS: { MemoryMiB: 128 } } });
    const { domain } = await sessions.deploy(id, { id: "web", kind: "domain", asked: { overlay, programs: true } });
    const console = join(stateDirectory, "domains", domain, "console.log");
    await poll("the guest to be up", async () =>
      (await readFile(console, "latin1").catch(() => "")).includes("guest: up"),
    );
    const run = await makeRunner(sessions, id);
    const until = (task: string, is: string | undefined) =>
      poll(`${task} to be ${is}`, async () => {
        await manager.tick();
        return (await findState(sessions, id, task)) === is;
      });
    const begun = performance.now();
    await run("hello", 'echo "hello from $(uname -r), $(cat data)"; exit 3');
    await run("slow", "sleep 1000", { seconds: 2 });
    await run("endless", "while true; do sleep 1; done");
    await until("hello", "exited 3");
    t.log(`laid, seen, run and told of within ${Math.round(performance.now() - begun)} ms`);
    t.regex(await sessions.readLog(id, "hello"), /^hello from 6\.\S+, of the tar\n$/);
    await until("slow", "timeout");
    t.is(await findState(sessions, id, "endless"), "running");
    // What runs inside is suspended with its domain, and goes on with it.
    await client.waitForTask((await client.suspend(domain)).task);
    await client.waitForTask((await client.resume(domain)).task);
    const [hello, , endless] = manager.sessions.list()[0]!.programs!.map(({ request }) => request);
    await run(
      "look",
      `kill -0 "$(cat ../${endless}/pid)" && echo "it runs"; kill -0 "$(cat ../${hello}/pid)" || echo "it does not"`,
    );
    await until("look", "exited 0");
    t.regex(await sessions.readLog(id, "look"), /it runs\n(.*\n)?it does not\n$/);
    await sessions.endTask(id, "endless");
    await until("endless", undefined);
    t.deepEqual(defects, []);
  }).catch(async (error) => {
    t.log(await server.readLogs());
    throw error;
  });
});

async function makeRunner(sessions: SessionsClient, session: string) {
  return async (id: string, script: string, limits: Partial<ProgramTask> = {}) => {
    const run = { name: "run", mode: 0o755, content: `#!/bin/sh\necho $$ >pid\n${script}\n` };
    const tar = (await packTar([{ name: "data", content: "of the tar" }, run])).toString("base64");
    await sessions.deploy(session, { id, kind: "program", asked: { inside: "web", tar, ...limits } });
  };
}

async function findState(sessions: SessionsClient, session: string, task: string): Promise<string | undefined> {
  const view = (await sessions.show(session)).tasks.find(({ id }) => id === task);
  return view && [view.state, view.code].filter((word) => word !== undefined).join(" ");
}
