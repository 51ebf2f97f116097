/** What every ObjectStore must do. Call `testObjectStore` once for each implementation. */
import test, { type ExecutionContext } from "ava";
import type { ObjectStore } from "../../../xenostore/stores/object-store.ts";

/** `open` gives a store that is empty and gone when the test ends. */
export function testObjectStore(name: string, open: (t: ExecutionContext) => Promise<ObjectStore>): void {
  const content = Buffer.from("0123456789");

  test(`${name}: an object that was put is there, whole and in ranges`, async (t) => {
    const store = await open(t);
    t.is(await store.putIfAbsent("packs/one", content), "stored");
    t.deepEqual(await store.get("packs/one"), content);
    t.deepEqual(await store.get("packs/one", { range: { start: 3, length: 4 } }), content.subarray(3, 7));
    t.deepEqual(await store.stat("packs/one"), { bytes: 10 });
  });

  test(`${name}: the first one to put an object wins`, async (t) => {
    const store = await open(t);
    const results = await Promise.all(
      Array.from({ length: 8 }, (_, i) => store.putIfAbsent("packs/one", Buffer.alloc(100_000, i))),
    );
    t.deepEqual(results.filter((result) => result === "stored").length, 1);
    t.is(await store.putIfAbsent("packs/one", content), "present");
    t.deepEqual(await store.get("packs/one"), Buffer.alloc(100_000, results.indexOf("stored")));
  });

  test(`${name}: what is not there is missing, by name`, async (t) => {
    const store = await open(t);
    await t.throwsAsync(store.get("packs/none"), { code: "object-missing", message: /packs\/none/ });
    t.is(await store.stat("packs/none"), undefined);
    await store.delete("packs/none");
    t.deepEqual(await store.list("packs"), []);
    await store.putIfAbsent("refs/a/b", content);
    await t.throwsAsync(store.get("refs/a"), { code: "object-missing" });
    await t.throwsAsync(store.get("refs/a/b/c"), { code: "object-missing" });
    t.is(await store.stat("refs/a"), undefined);
    t.is(await store.stat("refs/a/b/c"), undefined);
  });

  test(`${name}: a range beyond the end is damage, not a short answer`, async (t) => {
    const store = await open(t);
    await store.putIfAbsent("packs/one", content);
    const beyond = store.get("packs/one", { range: { start: 8, length: 4 } });
    await t.throwsAsync(beyond, { code: "object-damaged", message: /packs\/one/ });
  });

  test(`${name}: an object larger than its reader takes is refused`, async (t) => {
    const store = await open(t);
    await store.putIfAbsent("trees/one", content);
    await t.throwsAsync(store.get("trees/one", { maximumBytes: 9 }), { code: "object-too-large" });
    t.deepEqual(await store.get("trees/one", { maximumBytes: 10 }), content);
  });

  test(`${name}: of those who replace the same bytes one succeeds`, async (t) => {
    const store = await open(t);
    const key = "refs/templates/Debian/12/current";
    t.false(await store.compareAndSet(key, content, Buffer.from("x")));
    t.true(await store.compareAndSet(key, undefined, content));
    t.false(await store.compareAndSet(key, undefined, Buffer.from("x")));
    const results = await Promise.all(
      Array.from({ length: 6 }, (_, i) => store.compareAndSet(key, content, Buffer.from(`new ${i}`))),
    );
    t.is(results.filter(Boolean).length, 1);
    t.is((await store.get(key)).toString(), `new ${results.indexOf(true)}`);
  });

  test(`${name}: an object that is replaced holds the new bytes, also where there was none`, async (t) => {
    const store = await open(t);
    await store.replace("packs/one", content);
    t.true(await store.holds("packs/one", content));
    await store.replace("packs/one", Buffer.from("9876543210"));
    t.false(await store.holds("packs/one", content));
    t.false(await store.holds("packs/one", content.subarray(1)));
    t.false(await store.holds("packs/two", content));
    t.is((await store.get("packs/one")).toString(), "9876543210");
  });

  test(`${name}: a list holds the keys below a prefix, in order`, async (t) => {
    const store = await open(t);
    for (const key of ["refs/a/x/2", "refs/a/x/1", "refs/ab/y/1", "packs/p"]) await store.putIfAbsent(key, content);
    t.deepEqual(await store.list("refs/a"), ["refs/a/x/1", "refs/a/x/2"]);
    t.deepEqual(await store.list("refs"), ["refs/a/x/1", "refs/a/x/2", "refs/ab/y/1"]);
    t.deepEqual(await store.list(""), ["packs/p", "refs/a/x/1", "refs/a/x/2", "refs/ab/y/1"]);
  });

  test(`${name}: a deleted object can be put again`, async (t) => {
    const store = await open(t);
    await store.putIfAbsent("packs/one", content);
    await store.delete("packs/one");
    await t.throwsAsync(store.get("packs/one"), { code: "object-missing" });
    t.is(await store.putIfAbsent("packs/one", Buffer.from("new")), "stored");
    t.is((await store.get("packs/one")).toString(), "new");
  });

  for (const key of ["../etc/passwd", "/etc/passwd", "a//b", "a/./b", "", "a\0b", "a b", `x/${"y".repeat(300)}`])
    test(`${name}: ${JSON.stringify(key.slice(0, 20))} is no key`, async (t) => {
      const store = await open(t);
      await t.throwsAsync(store.get(key), { code: "store-key" });
      await t.throwsAsync(store.putIfAbsent(key, content), { code: "store-key" });
    });

  test(`${name}: an aborted request ends with the reason`, async (t) => {
    const store = await open(t);
    const signal = AbortSignal.abort(new Error("enough"));
    await t.throwsAsync(store.putIfAbsent("packs/one", content, { signal }), { message: "enough" });
    t.is(await store.stat("packs/one"), undefined);
    await t.throwsAsync(store.get("packs/one", { signal }), { message: "enough" });
  });
}
