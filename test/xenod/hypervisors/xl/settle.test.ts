/** What the driver makes of what it finds on a Xen host: see played-xen.ts. */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";
import test, { type ExecutionContext } from "ava";
import { identify } from "../../../../xenod/hypervisors/xl/configuration.ts";
import { createXlHypervisor } from "../../../../xenod/hypervisors/xl/xl.ts";
import { poll } from "../../test-guest.ts";
import { PlayedXen } from "./played-xen.ts";
import { specifyDomain } from "./specified-domain.ts";

const signal = new AbortController().signal;

async function prepare(t: ExecutionContext) {
  const { scratch, directory, specification } = await specifyDomain(t);
  const xen = new PlayedXen();
  const open = () => createXlHypervisor({ run: xen.run, recordsDirectory: join(scratch, "records") });
  return { xen, open, hypervisor: open(), specification, directory, records: join(scratch, "records") };
}

test("a guest that resets itself becomes a new domain of Xen's, running, and whoever listens hears it once", async (t) => {
  const { xen, hypervisor, specification } = await prepare(t);
  const domain = await hypervisor.create(specification, signal);
  t.teardown(() => domain.detach());
  await domain.unpause();
  let reboots = 0;
  domain.onReboot(() => reboots++);
  xen.domains[0].shutdown = "reboot";
  await poll("the reset", async () => reboots > 0);
  t.like(xen.domains, [{ id: 2, isPaused: false, shutdown: undefined }]);
  t.deepEqual(xen.domains.length, 1);
  t.is(await domain.state(), "running");
  t.is((await domain.usage()).cpuMs, 3_000, "what it used before counts");
  t.is(reboots, 1);
});

test("a guest that was reset while no Xenod ran is built anew by the one that finds it", async (t) => {
  const { xen, open, hypervisor, specification, directory } = await prepare(t);
  (await hypervisor.create(specification, signal)).detach();
  Object.assign(xen.domains[0], { isPaused: false, shutdown: "reboot" });
  const found = (await open().find("web", directory))!;
  t.teardown(() => found.detach());
  await poll("the reset", async () => xen.domains[0]?.id === 2 && !xen.domains[0].isPaused);
  t.is(await found.state(), "running");
});

for (const [shutdown, reason] of [
  ["poweroff", "stopped"],
  ["crash", "crashed"],
  ["watchdog", "crashed"],
] as const)
  test(`how a guest ended (${shutdown}) while no Xenod ran is told by the next one, and nothing stays`, async (t) => {
    const { xen, open, hypervisor, specification, directory, records } = await prepare(t);
    (await hypervisor.create(specification, signal)).detach();
    xen.domains[0].shutdown = shutdown;
    const found = (await open().find("web", directory))!;
    t.is(await found.state(), reason);
    t.is(await found.ended(), reason);
    t.deepEqual(xen.domains, []);
    t.is(await open().find("web", directory), undefined);
    t.deepEqual([await readdir(directory), await readdir(records)], [["console.log"], []]);
  });

test("who asks while what has ended is taken down is told why it ended", async (t) => {
  const { xen, open, hypervisor, specification, directory } = await prepare(t);
  (await hypervisor.create(specification, signal)).detach();
  xen.domains[0].shutdown = "poweroff";
  const found = (await open().find("web", directory))!;
  const gone = Promise.withResolvers<void>();
  xen.nextList = gone.promise;
  const asked = found.state();
  await turn();
  xen.domains = [];
  gone.resolve();
  t.is(await asked, "stopped");
  t.is(await found.ended(), "stopped");
});

test("those who ask while xl answers share the answer after it", async (t) => {
  const { xen, hypervisor, specification } = await prepare(t);
  const domain = await hypervisor.create(specification, signal);
  t.teardown(() => domain.detach());
  const slow = Promise.withResolvers<void>();
  xen.nextList = slow.promise;
  // Whoever asks next is kept waiting; what happens meanwhile is in the answer that the others share.
  const first = domain.state();
  await poll("the question", async () => xen.nextList === undefined);
  const others = Array.from({ length: 20 }, () => domain.state());
  const before = xen.lists;
  slow.resolve();
  xen.domains[0].isPaused = false;
  await first;
  t.deepEqual(new Set(await Promise.all(others)), new Set(["running"]));
  t.true(xen.lists <= before + 2, `${xen.lists - before} for 20`);
});

test("a domain that was ended behind our back has crashed", async (t) => {
  const { xen, hypervisor, specification } = await prepare(t);
  const domain = await hypervisor.create(specification, signal);
  xen.domains = [];
  t.is(await domain.ended(), "crashed");
  t.is(await domain.state(), "crashed");
});

test("one that is being taken down is gone, and its successor is another", async (t) => {
  const { xen, open, hypervisor, specification, directory } = await prepare(t);
  const { name, uuid } = identify("web", directory);
  xen.domains = [{ id: 77, name: "(null)", uuid, isPaused: false, isDying: true }];
  t.is(await open().find("web", directory), undefined);
  const domain = await hypervisor.create(specification, signal);
  t.like(xen.domains[1], { name, isPaused: true });
  await domain.destroy();
  t.is(xen.domains.length, 1);
});

test("a creation that fails half-way, or was cut off before it was noted, leaves nothing", async (t) => {
  const { xen, open, hypervisor, specification, directory, records } = await prepare(t);
  xen.failing = "create";
  await t.throwsAsync(hypervisor.create(specification, signal), { code: "xl-failed" });
  t.deepEqual([xen.domains, await readdir(directory), await readdir(records)], [[], ["console.log"], []]);
  xen.domains = [{ id: 5, ...identify("web", directory), isPaused: true }];
  t.is(await open().find("web", directory), undefined);
  t.deepEqual(xen.domains, []);
});

test("a domain that a killed Xenod left half-built is none, and one of its name takes its place", async (t) => {
  const { xen, open, specification, directory } = await prepare(t);
  const create = async () => (await open().create(specification, signal)).detach();
  const reset = async () => {
    const found = (await open().find("web", directory))!;
    t.teardown(() => found.detach());
    await found.reboot();
  };
  for (const cutOff of [create, reset]) {
    await create();
    if (cutOff === create) xen.domains = [];
    xen.unanswered = "create";
    void cutOff();
    await poll("the half-built domain", async () => xen.unanswered === undefined);
    t.is(xen.domains.length, 1);
    t.is(await open().find("web", directory), undefined);
    t.deepEqual(xen.domains, []);
    // The xl of the killed one is slower than the next Xenod.
    xen.domains = [{ id: 77, ...identify("web", directory), isPaused: true }];
    await create();
    t.is(xen.domains.length, 1);
    t.not(xen.domains[0].id, 77);
    await (await open().find("web", directory))!.destroy();
  }
});

test("a suspended domain is a paused one, and is not run on by a bare unpause", async (t) => {
  const { xen, hypervisor, specification } = await prepare(t);
  const domain = await hypervisor.create(specification, signal);
  t.teardown(() => domain.detach());
  await t.throwsAsync(hypervisor.create(specification, signal), { code: "domain-exists" });
  xen.domains[0].shutdown = "suspend";
  t.is(await domain.state(), "paused");
  await t.throwsAsync(domain.unpause(), { code: "domain-suspended" });
  await domain.destroy();
  t.is(await domain.ended(), "stopped");
});

test("a guest is of the type that it was made with, whatever the next Xenod makes", async (t) => {
  const { xen, open, specification, directory, records } = await prepare(t);
  const pv = createXlHypervisor({ run: xen.run, recordsDirectory: records, guests: "pv" });
  t.deepEqual([pv.features.liveMigration, open().features.liveMigration], [false, true]);
  (await pv.create(specification, signal)).detach();
  t.regex(await readFile(join(directory, "xl.cfg"), "utf8"), /^type = "pv"$/m);
  const found = (await open().find("web", directory))!;
  t.teardown(() => found.detach());
  t.regex(await found.platform(), /^xen 4\.17 pv [0-9a-f]{12}$/);
  await found.unpause();
  await t.throwsAsync(found.migrate(new PassThrough(), signal), { code: "migration-unsupported" });
  await found.reboot();
  t.regex(await found.platform(), / pv /);
  // One of before there was a choice.
  await writeFile(join(directory, "xl.json"), JSON.stringify({ format: 1, specification }));
  const old = (await open().find("web", directory))!;
  t.regex(await old.platform(), / pvh /);
  old.detach();
  const image = Readable.from([]);
  await found.destroy();
  const platform = await found.platform();
  await t.throwsAsync(open().restore(specification, image, platform, signal), { code: "platform-unsuited" });
});

test("guests of a type that the host cannot have are refused, and nothing is left", async (t) => {
  const { xen, hypervisor, specification, directory } = await prepare(t);
  xen.virtualization = "pv shadow";
  await t.throwsAsync(hypervisor.create(specification, signal), {
    code: "guests-unsupported",
    message: /no PVH guests/,
  });
  t.deepEqual([xen.domains, xen.commands, await readdir(directory)], [[], [], ["console.log"]]);
});

test("pausing counts once, however often it is asked for", async (t) => {
  const { xen, hypervisor, specification } = await prepare(t);
  const domain = await hypervisor.create(specification, signal);
  t.teardown(() => domain.detach());
  await domain.unpause();
  await domain.unpause();
  await domain.pause();
  await domain.pause();
  const counted = xen.commands.filter((command) => /pause/.test(command)).map((command) => command.split(" ")[0]);
  t.deepEqual(counted, ["unpause", "pause"]);
});
