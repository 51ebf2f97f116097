import { chmod, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { execa } from "execa";
import { rotate } from "../../../../xenod/hypervisors/console-log.ts";
import { domainFiles } from "../../../../xenod/hypervisors/qemu/command-line.ts";
import { probeKvm } from "../../../../xenod/hypervisors/qemu/kvm-probe.ts";
import { createQemuHypervisor } from "../../../../xenod/hypervisors/qemu/qemu.ts";
import { findQemu } from "../../../../xenod/hypervisors/qemu/qemu-process.ts";
import { createLink } from "../../../../xenod/links/guest-link.ts";
import { claimPrefix, sweepLinks } from "../../../../xenod/links/sweep.ts";
import { createSwitch, joinSwitch } from "../../../../xenod/links/switch.ts";
import { poll, prepareGuest } from "../../test-guest.ts";
import { testHypervisor } from "../conformance.ts";

const signal = AbortSignal.timeout(600_000);
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

testHypervisor("qemu", {
  open: () => createQemuHypervisor({ accelerator: "tcg" }),
  prepare,
  async kill(directory) {
    process.kill((await findQemu(directory))!.pid, "SIGKILL");
  },
  remains: ["console.log", "empty", "qemu.log"],
  list: async (directory) => (await readdir(directory)).filter((name) => name !== "initramfs.cpio").sort(),
});

test.serial("a Xenod that starts while another still controls the domain is told so", async (t) => {
  const specification = await prepare(t, "busy");
  const domain = await hypervisor.create(specification, signal);
  await t.throwsAsync(hypervisor.find("busy", specification.directory), { code: "domain-busy" });
  await domain.destroy();
});

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
