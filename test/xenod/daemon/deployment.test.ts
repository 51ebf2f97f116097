import test from "ava";
import { AddressPool } from "../../../xenod/daemon/address-pool.ts";
import { chooseName } from "../../../xenod/daemon/deployment.ts";

const deployment = { id: "12345678", kernel: "template://K/1", memoryMiB: 64, cpus: 1 };

for (const [overlay, taken, name] of [
  ["xenostore://demo/apache", [], "apache"],
  ["xenostore://demo/apache@3", ["apache"], "apache-2"],
  ["xenostore://demo/web/Front_End@1", [], "front-end"],
  ["xenostore://demo/___", [], "domain"],
  [`xenostore://demo/${"x".repeat(60)}`, [], "x".repeat(30)],
  ["template://Debian/12/current", [], "current"],
] as const)
  test(`a domain of ${overlay} is called ${name} where ${taken.length} names are taken`, (t) => {
    t.is(
      chooseName({ ...deployment, overlay }, (candidate) => (taken as readonly string[]).includes(candidate)),
      name,
    );
  });

test("a name that was asked for is taken, or refused", (t) => {
  const wanted = { ...deployment, overlay: "xenostore://demo/apache", name: "mine" };
  t.is(
    chooseName(wanted, () => false),
    "mine",
  );
  t.throws(() => chooseName(wanted, () => true), { code: "domain-exists" });
});

test("a pool gives the lowest free address, neither the first nor the last of its network, until there is none", (t) => {
  const pool = new AddressPool("10.77.1.9/29");
  const taken = new Set<string>();
  for (let n = 0; n < 6; n++) taken.add(pool.choose((address) => taken.has(address)));
  t.deepEqual(
    [...taken],
    [9, 10, 11, 12, 13, 14].map((last) => `10.77.1.${last}`),
  );
  t.throws(() => pool.choose((address) => taken.has(address)), { code: "addresses-used-up" });
  taken.delete("10.77.1.11");
  t.is(
    pool.choose((address) => taken.has(address)),
    "10.77.1.11",
  );
});

for (const text of ["", "10.77.1.0", "10.77.1.0/31", "10.77.1.0/x", "10.77.1/24", "::1/64", "10.0.0.0/4"])
  test(`"${text}" is no pool`, (t) => {
    t.throws(() => new AddressPool(text), { code: "pool-invalid" });
  });
