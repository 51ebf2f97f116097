import test from "ava";
import {
  cap,
  checkSpecification,
  composeConfiguration,
  identify,
  weigh,
} from "../../../../xenod/hypervisors/xl/configuration.ts";

const specification = {
  name: "web",
  directory: "/var/lib/xeno/a/domains/web",
  memoryMiB: 256,
  cpus: 2,
  kernel: "/k/vmlinux",
  initramfs: "/k/initramfs.cpio",
  commandLine: 'console=ttyS0 quiet xeno.hostname=web note="a \\ b"',
  link: { namespace: "xeno-1.a.web", tap: "tap0", mac: "02:78:65:6e:00:02" },
};

test("a specification becomes a PVH domain of xl's, with what the guest says quoted", (t) => {
  const lines = composeConfiguration(
    { ...specification, cpu: { meanMsPerSecond: 500, peakMsPerSecond: 1500 } },
    "pvh",
  ).split("\n");
  const expected = [
    'name = "xeno-web-',
    'uuid = "',
    'type = "pvh"',
    'kernel = "/k/vmlinux"',
    'ramdisk = "/k/initramfs.cpio"',
    'cmdline = "xen_legacy_crash console=hvc0 quiet xeno.hostname=web note=\\"a \\\\ b\\""',
    "memory = 256",
    "maxmem = 256",
    "vcpus = 2",
    'vif = [ "mac=02:78:65:6e:00:02,bridge=xeno-1.a.web,script=/',
    "cpu_weight = 128",
    "cap = 150",
    'on_poweroff = "preserve"',
    'on_reboot = "preserve"',
    'on_crash = "preserve"',
    'on_watchdog = "preserve"',
    'on_soft_reset = "preserve"',
  ];
  for (const [index, text] of expected.entries()) t.true(lines[index].startsWith(text), lines[index]);
  t.deepEqual(lines.slice(expected.length), [""]);
});

test("a domain's identity is its directory's, and stays", (t) => {
  const identity = identify("web", specification.directory);
  t.regex(identity.name, /^xeno-web-[0-9a-f]{8}$/);
  t.regex(identity.uuid, /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/);
  t.deepEqual(identify("web", specification.directory), identity);
  t.not(identify("web", `${specification.directory}-2`).uuid, identity.uuid);
});

test("CPU shares become credit2's weights and caps", (t) => {
  const shares = [
    [1000, 1000, 256, 100],
    [250, 4000, 64, 400],
    [1, 1, 1, 1],
    [10_000_000, 64_000, 65_535, 6400],
  ];
  for (const [meanMsPerSecond, peakMsPerSecond, weight, percent] of shares) {
    const share = { meanMsPerSecond, peakMsPerSecond };
    t.deepEqual([weigh(share), cap(share)], [weight, percent]);
  }
});

test("what Xen or the kernel would read otherwise is refused", (t) => {
  t.notThrows(() => checkSpecification(specification));
  const wrong = [
    { name: "Not/A/Name" },
    { memoryMiB: 3 },
    { cpus: 0 },
    { commandLine: "a\nb" },
    { commandLine: "x".repeat(2001) },
    { kernel: "/k/\nvmlinux" },
  ];
  for (const part of wrong)
    t.throws(() => checkSpecification({ ...specification, ...part }), { code: "domain-invalid" }, JSON.stringify(part));
});
