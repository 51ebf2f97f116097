/** Programs inside of a session's domains, with everything real but the guests: the tests are the agents in them. */
import test, { type ExecutionContext } from "ava";
import type { ProgramTask } from "../../../control/sessions/tasks/program/program-task.ts";
import { FileServerClient } from "../../../xenod/file-server/client.ts";
import { programsDirectory } from "../../../xenod/programs/assignment.ts";
import { packTar } from "../../templates/import/pack.ts";
import { poll } from "../../xenod/test-guest.ts";
import { powerOff, shareMachine } from "./machine.ts";
import { type Client, requirements, type Selling, withSelling } from "./selling.ts";

const machine = shareMachine(test);
const QoS = { MemoryMiB: 128 };

async function packProgram(script: string): Promise<string> {
  return (await packTar([{ name: "run", mode: 0o755, content: `#!/bin/sh\n${script}\n` }])).toString("base64");
}

/** What the domain's agent would read, and write. */
function openGuest(t: ExecutionContext, domain: string) {
  const fileServer = new FileServerClient(machine().server.stateDirectory);
  t.teardown(() => fileServer.close());
  const read = async (name: string, maxBytes = 1_000_000) => {
    const asked = [{ path: `${programsDirectory}/${name}`, maxBytes }];
    const [file] = (await fileServer.exchangeFiles(domain, { read: asked })).read;
    return file === null ? undefined : Buffer.from(file!.base64, "base64");
  };
  return {
    read,
    /** The programs that it is told of, by name. */
    listed: async () => (await read("next"))!.toString().trim().split("\n").slice(1, -1),
    async write(name: string, text: string) {
      const base64 = Buffer.from(text).toString("base64");
      const laid = [{ path: `${programsDirectory}/${name}`, base64, mode: 0o644, uid: 0, gid: 0 }];
      await fileServer.exchangeFiles(domain, { laid });
    },
  };
}

async function begin(selling: Selling, asked: object = { programs: true }, name = "Ada") {
  const client = await selling.addClient(name);
  const { id } = await client.begin({ amount: 100_000, requirements: { ...requirements, QoS } });
  const task = { id: "web", kind: "domain", asked: { overlay: machine().overlay, memoryMiB: 64, ...asked } };
  const { domain } = await client.sessions.deploy(id, task);
  await poll("the domain to run", async () => (await machine().state(domain)) === "running");
  const run = async (program: string, change: Partial<ProgramTask> = {}) =>
    await client.sessions.deploy(id, {
      ...{ id: program, kind: "program" },
      asked: { inside: "web", tar: await packProgram(`echo ${program}`), ...change },
    });
  return { client, id, domain, run };
}

async function until(selling: Selling, client: Client, id: string, task: string, state: string | undefined) {
  await poll(`${task} to be ${state}`, async () => {
    await selling.manager.tick();
    return (await client.sessions.show(id)).tasks.find((each) => each.id === task)?.state === state;
  });
  return (await client.sessions.show(id)).tasks.find((each) => each.id === task);
}

test.serial(
  "a program is laid into its domain, told of, read and forgotten, and asked for again it is the same",
  async (t) => {
    await withSelling(machine(), async (selling) => {
      const { client, id, domain, run } = await begin(selling);
      const guest = openGuest(t, domain);
      t.truthy(await guest.read("agent"));
      t.deepEqual(await guest.listed(), []);
      const limits = { seconds: 60, outputBytes: 1000 };
      t.deepEqual(await run("job", limits), { id: "job", kind: "program", domain });
      const [line] = await guest.listed();
      const [request, ...words] = line!.split(" ");
      t.deepEqual(words, ["60", "1000", "run"]);
      t.deepEqual(await guest.read(`${request}.tar`), Buffer.from(await packProgram("echo job"), "base64"));
      t.deepEqual(await run("job", limits), { id: "job", kind: "program", domain });
      t.deepEqual(await guest.listed(), [line]);
      t.like((await client.sessions.show(id)).tasks[1], { id: "job", kind: "program", domain, state: "running" });
      t.is(await client.sessions.readLog(id, "job"), "");

      await guest.write(`${request}.output`, "job\n");
      t.is(await client.sessions.readLog(id, "job"), "job\n");
      await run("other");
      await guest.write(`${request}.status`, "exited 3\n");
      t.like(await until(selling, client, id, "job", "exited"), { code: 3 });
      t.is((await guest.listed()).length, 2, "what has ended is told of until its client has asked");
      await client.sessions.endTask(id, "job");
      await until(selling, client, id, "job", undefined);
      t.is((await guest.listed()).length, 1);
      // Its id is free, and names another program then.
      await run("job");
      t.not((await guest.listed())[1]!.split(" ")[0], request);

      // Its lease gives it nothing of its own, and its domain keeps what it had.
      t.like((await client.sessions.show(id)).tasks[0], { size: { memoryMiB: 64 } });
      t.deepEqual(selling.defects, []);
    });
  },
);

test.serial("what a guest claims of its programs decides nothing but that", async (t) => {
  await withSelling(machine(), async (selling) => {
    const { client, id, domain, run } = await begin(selling);
    const guest = openGuest(t, domain);
    for (const program of ["lies", "floods"]) await run(program);
    const [lies, floods] = (await guest.listed()).map((line) => line.split(" ")[0]);
    await guest.write(`${lies}.status`, "exited 0\nand more");
    await guest.write(`${floods}.status`, "exited 0\n".repeat(20_000));
    await guest.write(`${floods}.output`, "x".repeat(200_000));
    for (const program of ["lies", "floods"]) await until(selling, client, id, program, "unclear");
    t.is((await client.sessions.readLog(id, "floods")).length, 65_536);
    await guest.write("next", "nothing");
    await run("third");
    t.is((await guest.listed()).length, 3);
    t.deepEqual(selling.defects, []);
  });
});

test.serial(
  "a program is refused that has no domain to run inside of, or no room, or a name that is taken",
  async (t) => {
    await withSelling(machine(), async (selling) => {
      const { client, id, domain, run } = await begin(selling);
      const plain = { id: "plain", kind: "domain", asked: { overlay: machine().overlay, memoryMiB: 64 } };
      const { domain: other } = await client.sessions.deploy(id, plain);
      await poll("it to run", async () => (await machine().state(other)) === "running");
      const eve = await begin(selling, {}, "Eve");
      const refused = async (code: string, asked: Promise<unknown>) => await t.throwsAsync(asked, { code }, code);
      await refused("task-unknown", run("a", { inside: "nobody" }));
      await refused("programs-unwanted", run("a", { inside: "plain" }));
      await refused("task-conflict", run("web"));
      await refused("program-entry-missing", run("a", { entry: "walk" }));
      await refused("task-invalid", run("a", { entry: "../run" }));
      await refused("task-invalid", run("a", { seconds: 0 }));
      await refused("program-too-large", run("a", { tar: Buffer.alloc(1_100_000).toString("base64") }));
      // Another client's task has no name here.
      await refused("task-unknown", eve.run("a", { inside: "plain" }));
      await refused("session-unknown", eve.client.sessions.deploy(id, { ...plain, id: "b" }));
      await run("first");
      await refused("task-conflict", client.sessions.deploy(id, { ...plain, id: "first" }));
      for (let count = 1; count < 16; count++) await run(`p${count}`);
      await refused("programs-full", run("more"));
      powerOff(machine(), domain);
      await poll("it to be off", async () => (await machine().state(domain)) === "stopped");
      await client.sessions.endTask(id, "p1");
      await refused("domain-stopped", client.sessions.readLog(id, "first"));
      t.is((await client.sessions.show(id)).tasks.filter(({ kind }) => kind === "program").length, 16);
      t.deepEqual(selling.defects, []);
    });
  },
);

test.serial(
  "a domain that is gone has lost its programs, and another of its name is nobody else's to see",
  async (t) => {
    await withSelling(machine(), async (selling) => {
      const { client, id, domain, run } = await begin(selling);
      await run("job");
      const [record] = await machine().client.domains();
      const { task } = await machine().client.remove(domain);
      await machine().client.waitForTask(task);
      const eve = await begin(selling, { programs: true }, "Eve");
      t.is(eve.domain, domain, "the name is free, and hers now");
      await eve.run("hers");
      const guest = openGuest(t, domain);
      const listed = await guest.listed();
      await until(selling, client, id, "job", "lost");
      for (const asked of [client.sessions.readLog(id, "web"), client.sessions.readLog(id, "job"), run("late")])
        await t.throwsAsync(asked, { code: "domain-unknown" });
      t.deepEqual(await guest.listed(), listed);
      const before = { name: domain, deployment: record!.deployment.id };
      await t.throwsAsync(machine().client.assignPrograms(before, []), { code: "domain-unknown" });
      t.deepEqual(selling.defects, []);
    });
  },
);
