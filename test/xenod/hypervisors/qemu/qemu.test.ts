import { chmod, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { execa } from "execa";
import { domainFiles } from "../../../../xenod/hypervisors/qemu/command-line.ts";
import { rotate } from "../../../../xenod/hypervisors/qemu/console-log.ts";
import { probeKvm } from "../../../../xenod/hypervisors/qemu/kvm-probe.ts";
import { createQemuHypervisor } from "../../../../xenod/hypervisors/qemu/qemu.ts";
import { findQemu } from "../../../../xenod/hypervisors/qemu/qemu-process.ts";
import { createLink } from "../../../../xenod/links/guest-link.ts";
import { claimPrefix, sweepLinks } from "../../../../xenod/links/sweep.ts";
import { createSwitch, joinSwitch } from "../../../../xenod/links/switch.ts";
import { GuestShell, poll, prepareGuest, waitForConsole } from "../../test-guest.ts";

const signal = AbortSignal.timeout(120_000);
const hypervisor = createQemuHypervisor({ accelerator: "tcg" });
const prefix = `xeno-qemu-${process.pid}`;
const member = { prefix, name: "server", address: "10.77.0.1", forwards: true, routes: [] };

test.before(async () => {
  await claimPrefix(prefix);
  await createSwitch(prefix);
  await joinSwitch(member);
});
test.after.always(() => sweepLinks(prefix));

async function prepare(t: ExecutionContext, name: string, options?: string) {
  const link = await createLink({ prefix, server: "server", domain: name });
  return { ...(await prepareGuest(t, name, options)), link };
}

test.serial(
  "a domain is created paused, runs, pauses, reboots, is found again and powers off when asked",
  async (t) => {
    const specification = await prepare(t, "web");
    const { directory } = specification;
    const created = await hypervisor.create(specification, signal);
    t.is(await created.state(), "paused");
    t.is(await readFile(join(directory, "console.log"), "utf8"), "");
    await t.throwsAsync(hypervisor.create(specification, signal), { code: "domain-exists" });
    await created.unpause();
    await waitForConsole(directory, "guest is up");
    t.is(await created.state(), "running");

    // A Xenod that starts while another still controls the domain is told so; one that starts later takes it up.
    const impatient = hypervisor.find("web", directory);
    await t.throwsAsync(impatient, { code: "domain-busy" });
    created.detach();
    t.is(await createQemuHypervisor({ accelerator: "tcg" }).find("db", `${directory}-other`), undefined);
    const found = (await createQemuHypervisor({ accelerator: "tcg" }).find("web", directory))!;
    t.is(await found.state(), "running");

    await found.pause();
    t.is(await found.state(), "paused");
    const shell = new GuestShell(t, directory);
    const answer = shell.run("echo $((6 * 7))");
    await found.unpause();
    t.deepEqual(await answer, { status: 0, output: "42\n" });

    const reboots: number[] = [];
    found.onReboot(() => reboots.push(1));
    shell.type("reboot -f");
    await waitForConsole(directory, "guest is up", 2);
    t.deepEqual(reboots, [1]);

    const started = performance.now();
    await found.shutdown(30_000, signal);
    t.true(performance.now() - started < 20_000);
    t.is(await found.ended(), "stopped");
    t.is(await found.state(), "stopped");
    t.is(await hypervisor.find("web", directory), undefined);
    const left = (await readdir(directory)).sort();
    t.deepEqual(left, ["console.log", "empty", "initramfs.cpio", "qemu.log"]);
  },
);

test.serial("QEMU runs as a user of the domain's own, without capabilities, in an empty root, filtered", async (t) => {
  const specification = await prepare(t, "confined");
  const domain = await hypervisor.create(specification, signal);
  const { pid } = (await findQemu(specification.directory))!;
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  t.regex(status, /^Uid:\t(19|20)\d{8}\t/m);
  t.regex(status, /^CapEff:\t0+$/m);
  t.regex(status, /^NoNewPrivs:\t1$/m);
  t.regex(status, /^Seccomp:\t2$/m);
  t.deepEqual(await readdir(`/proc/${pid}/root`), []);
  await domain.destroy();
  t.is(await domain.ended(), "stopped");
});

test.serial("how a guest ended while no Xenod ran is known to the next one", async (t) => {
  for (const [command, reason] of [
    ["poweroff -f", "stopped"],
    ["echo c >/proc/sysrq-trigger", "crashed"],
  ] as const) {
    const specification = await prepare(t, "alone");
    const { directory } = specification;
    const domain = await hypervisor.create(specification, signal);
    await domain.unpause();
    await waitForConsole(directory, "guest is up");
    const shell = new GuestShell(t, directory);
    await shell.run("true");
    domain.detach();
    shell.type(command);
    await waitForConsole(directory, reason === "stopped" ? "Power down" : "Kernel panic");
    const found = (await hypervisor.find("alone", directory))!;
    t.is(await found.ended(), reason);
    t.is(await found.state(), reason);
    t.is(await findQemu(directory), undefined);
  }
});

test.serial(
  "a guest that does not react is ended when its time is over; a QEMU that is killed has crashed",
  async (t) => {
    const deaf = await prepare(t, "deaf", "test.deaf");
    const domain = await hypervisor.create(deaf, signal);
    await domain.unpause();
    await waitForConsole(deaf.directory, "guest is up");
    await t.throwsAsync(domain.shutdown(30_000, AbortSignal.timeout(100)), { name: "TimeoutError" });
    t.is(await domain.state(), "running");
    const started = performance.now();
    await domain.shutdown(500, signal);
    t.true(performance.now() - started >= 450);
    t.is(await domain.ended(), "stopped");

    const killed = await hypervisor.create(deaf, signal);
    process.kill((await findQemu(deaf.directory))!.pid, "SIGKILL");
    t.is(await killed.ended(), "crashed");
    t.is(await hypervisor.find("deaf", deaf.directory), undefined);
  },
);

test.serial("what keeps a domain from starting is named, and nothing is left", async (t) => {
  const specification = await prepare(t, "first");
  const { directory } = specification;
  const running = await hypervisor.create(specification, signal);
  const second = { ...(await prepareGuest(t, "second")), link: specification.link };
  const inNamespace = { ...second, link: { ...second.link, namespace: `${prefix}.none` } };
  const cases = [
    ["tap-busy", second, hypervisor],
    ["link-missing", inNamespace, hypervisor],
    ["image-missing", { ...second, kernel: `${directory}/none` }, hypervisor],
    ["qemu-missing", second, createQemuHypervisor({ accelerator: "tcg", qemu: "qemu-system-none" })],
    ["domain-invalid", { ...second, name: "Not/A/Name" }, hypervisor],
    ["domain-invalid", { ...second, memoryMiB: 3 }, hypervisor],
    ["domain-invalid", { ...second, commandLine: "a\nb" }, hypervisor],
  ] as const;
  for (const [code, wanted, driver] of cases) {
    const error = await t.throwsAsync(driver.create(wanted, signal), { code }, code);
    t.truthy((error as { hint?: string }).hint, code);
    t.is(await findQemu(second.directory), undefined);
  }
  await t.throwsAsync(hypervisor.create({ ...second, link: specification.link }, AbortSignal.abort()));
  const left = (await readdir(second.directory)).sort();
  t.deepEqual(left, ["console.log", "empty", "initramfs.cpio", "qemu.log"]);
  await running.destroy();
});

test.serial("a pid file that names another process is nobody's domain", async (t) => {
  const { directory } = await prepareGuest(t, "stale");
  const other = execa("sleep", ["60"], { reject: false });
  t.teardown(() => other.kill("SIGKILL"));
  await writeFile(domainFiles(directory).processId, `${other.pid}\n`);
  t.is(await hypervisor.find("stale", directory), undefined);
  await writeFile(domainFiles(directory).processId, "1\n");
  t.is(await hypervisor.find("stale", directory), undefined);
});

test.serial("a console's record is emptied past its size, with the end kept beside it", async (t) => {
  const { directory } = await prepareGuest(t, "loud");
  const { consoleLog } = domainFiles(directory);
  await writeFile(consoleLog, "x".repeat(1000));
  t.false(await rotate(consoleLog, 1000));
  t.true(await rotate(consoleLog, 999));
  t.is(await readFile(consoleLog, "utf8"), "");
  t.is((await readFile(`${consoleLog}.1`, "utf8")).length, 1000);
});

test.serial(
  "the probe says whether a guest boots under KVM, and remembers it until the host boots again",
  async (t) => {
    const { directory, kernel, initramfs } = await prepareGuest(t, "probe");
    const verdictFile = join(directory, "kvm.json");
    const failing = join(directory, "qemu");
    await writeFile(failing, "#!/bin/sh\necho no such accelerator >&2\nexit 1\n");
    await chmod(failing, 0o755);
    const probe = { qemu: failing, kernel, initramfs, verdictFile, signal };
    const verdict = await probeKvm(probe);
    t.false(verdict.works);
    t.truthy(verdict.reason);
    const kept = JSON.parse(await readFile(verdictFile, "utf8"));
    await rm(failing);
    t.deepEqual(await probeKvm(probe), verdict);
    await writeFile(verdictFile, JSON.stringify({ ...kept, key: "another boot" }));
    t.false((await probeKvm(probe)).works);
    await poll(
      "the verdict of this boot",
      async () => JSON.parse(await readFile(verdictFile, "utf8")).key === kept.key,
    );
  },
);
