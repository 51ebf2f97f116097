import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { checkKvm } from "../../../control/doctor/check-devices.ts";
import { inspectMachine } from "../../../control/doctor/inspect-machine.ts";

test("every check says what was found, and a failed one what is missing and how to get it", async (t) => {
  const checks = await inspectMachine({ stateDirectory: join(tmpdir(), "not/there/yet") });
  const names = checks.map(({ name }) => name);
  t.is(new Set(names).size, names.length);
  for (const name of ["root", "fuse", "tun", "namespaces", "kvm", "disk", "memory", "qemu-system-x86", "mmdebstrap"])
    t.true(names.includes(name), name);
  for (const { name, ok, found, missing, howToGet } of checks) {
    t.not(found, "", name);
    t.is(missing === "", ok, name);
    t.is(howToGet === "", ok, name);
  }
});

test("KVM that does not boot a guest, or cannot be asked, is no failure of the machine", async (t) => {
  t.like(await checkKvm(async () => ({ works: true, reason: "booted in 300 ms" })), {
    ok: true,
    found: "booted in 300 ms",
  });
  t.like(await checkKvm(async () => ({ works: false, reason: "it hangs" })), {
    ok: false,
    required: false,
    found: "it hangs",
  });
  t.like(await checkKvm(async () => Promise.reject(new Error("no QEMU"))), {
    ok: false,
    required: false,
    found: "no QEMU",
  });
});
