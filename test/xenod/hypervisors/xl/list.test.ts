import test from "ava";
import { parseList } from "../../../../xenod/hypervisors/xl/list.ts";

/** As Xen 4.17.7 printed it. */
const head =
  "Name                                        ID   Mem VCPUs\tState\tTime(s)   UUID                            Reason-Code\tSecurity Label";
const dom0 =
  "Domain-0                                     0   832     1     r-----     370.4 00000000-0000-0000-0000-000000000000        -                -";

/** As list_domains prints a guest: `%-40s %5d %5lu %5d     %c%c%c%c%c%c  %8.1f`, the UUID, ` %9s` or ` %8x`, ` %16s`. */
function row(name: string, flags: string, reason: string): string {
  const id = "42a6a1ae-7a32-8c11-8b1d-0d9a5ad0b2c4";
  return `${name.padEnd(40)} ${"7".padStart(5)} ${"128".padStart(5)} ${"2".padStart(5)}     ${flags}  ${"12.3".padStart(8)} ${id}${reason.padStart(9)} ${"-".padStart(16)}`;
}

test("xl's table says of each domain what it is and how it is", (t) => {
  const common = { id: 7, uuid: "42a6a1ae-7a32-8c11-8b1d-0d9a5ad0b2c4", memoryMiB: 128, cpus: 2, cpuMs: 12_300 };
  const alive = { isPaused: false, isDying: false };
  const cases = [
    ["r-----", "-", alive],
    ["-b----", "-", alive],
    ["------", "-", alive],
    ["--p---", "-", { ...alive, isPaused: true }],
    ["---s--", "0", { ...alive, shutdown: "poweroff" }],
    ["---sr-", "1", { ...alive, shutdown: "reboot" }],
    ["---ss-", "2", { ...alive, shutdown: "suspend" }],
    ["--pss-", "2", { ...alive, isPaused: true, shutdown: "suspend" }],
    ["---sc-", "3", { ...alive, shutdown: "crash" }],
    ["---sw-", "4", { ...alive, shutdown: "watchdog" }],
    ["---s?-", "5", { ...alive, shutdown: "soft-reset" }],
    ["---s--", "77", { ...alive, shutdown: "unknown" }],
    ["--ps-d", "0", { isPaused: true, isDying: true, shutdown: "poweroff" }],
  ] as const;
  for (const [flags, reason, state] of cases)
    for (const name of ["xeno-web-0a1b2c3d", "a name 12 with 3 numbers", "(null)", `${"long".repeat(12)}`]) {
      const [listed, guest] = parseList(`${head}\n${dom0}\n${row(name, flags, reason)}\n`);
      t.like(listed, { name: "Domain-0", id: 0, memoryMiB: 832, cpus: 1, cpuMs: 370_400, isPaused: false });
      t.deepEqual(guest, { name, ...common, ...state }, `${flags} ${reason}`);
    }
  t.deepEqual(parseList(`${head}\n`), []);
});

test("a table of another kind is refused", (t) => {
  for (const text of [
    "",
    "Name ID\n",
    `${head}\nDomain-0 0 832\n`,
    `${head}\n${dom0} trailing - - \u0000x y z `.replace("r-----", "r----"),
  ])
    t.throws(() => parseList(text), { code: "xl-unreadable" });
});
