import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { execa } from "execa";
import { listNamespaces, namespacePath } from "../../../xenod/links/namespaces.ts";
import { claimPrefix, sweepAbandoned, sweepLinks } from "../../../xenod/links/sweep.ts";
import { createSwitch } from "../../../xenod/links/switch.ts";
import { readStartTime, waitUntilGone } from "../../../xenod/processes.ts";

test("what a dead owner left is removed with its processes; what a living one has is left alone", async (t) => {
  const records = await mkdtemp(join(tmpdir(), "xeno-sweep-"));
  const [dead, living] = [`xeno-dead-${process.pid}`, `xeno-live-${process.pid}`];
  t.teardown(async () => {
    await sweepLinks(dead, records);
    await sweepLinks(living, records);
    await rm(records, { recursive: true, force: true });
  });
  await claimPrefix(living, records);
  await createSwitch(living);

  const owner = fork(new URL("dying-owner.ts", import.meta.url), [dead, records], { execArgv: ["--no-warnings"] });
  t.teardown(() => owner.kill("SIGKILL"));
  await once(owner, "message");
  const inside = execa("nsenter", [`--net=${namespacePath(`${dead}.switch`)}`, "sleep", "60"], { reject: false });
  t.deepEqual(await sweepAbandoned(records), []);
  owner.kill("SIGKILL");
  await once(owner, "exit");
  // A name that `ip netns add` was killed over: a file with nothing mounted on it.
  await writeFile(namespacePath(`${dead}.half`), "");
  const startTime = (await readStartTime(inside.pid!))!;

  t.deepEqual((await sweepAbandoned(records)).sort(), [`${dead}.half`, `${dead}.switch`]);
  t.true(await waitUntilGone(inside.pid!, startTime, 5_000));
  t.deepEqual(await listNamespaces(dead), []);
  t.deepEqual(await listNamespaces(living), [`${living}.switch`]);
  t.deepEqual(await readdir(records), [`${living}.json`]);
  t.deepEqual(await sweepAbandoned(records), []);
});

test("a process that took over a dead owner's id is not taken for it, nor a record that was damaged", async (t) => {
  const records = await mkdtemp(join(tmpdir(), "xeno-sweep-"));
  t.teardown(() => rm(records, { recursive: true, force: true }));
  const prefix = `xeno-reused-${process.pid}`;
  await claimPrefix(prefix, records);
  const record = { format: 1, prefix, process: process.pid, startTime: "1", bootId: "this one" };
  await writeFile(join(records, `${prefix}.json`), JSON.stringify(record));
  await sweepAbandoned(records);
  t.deepEqual(await readdir(records), []);
  await writeFile(join(records, `${prefix}.json`), "{");
  await sweepAbandoned(records);
  t.deepEqual(await readdir(records), []);
});
