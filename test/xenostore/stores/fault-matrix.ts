/** What every store over a network does when that, or the service, fails. Call once for each kind of store. */
import type { ExecutionContext, TestFn } from "ava";
import type { ObjectStore } from "../../../xenostore/stores/object-store.ts";
import { defaultPolicy, type RemotePolicy } from "../../../xenostore/stores/remote/policy.ts";
import { makeBytes } from "../publish/sample.ts";
import type { Fault, FaultyProxy } from "../services/faulty-proxy.ts";

/** Short waits between attempts, and a bound on them that a slow machine does not reach by itself. */
export const impatient: RemotePolicy = {
  ...defaultPolicy,
  idleMs: 30_000,
  patienceMs: 240_000,
  maxAttempts: 5,
  firstDelayMs: 5,
  maxDelayMs: 20,
};
/** Where what is tested is that somebody stops waiting. */
const soon: RemotePolicy = { ...impatient, idleMs: 5_000, maxAttempts: 3 };

const passing: readonly [string, Fault][] = [
  ["an internal error", { kind: "status", status: 500 }],
  ["being unavailable", { kind: "status", status: 503, headers: { "retry-after": "0" } }],
  ["throttling", { kind: "status", status: 429 }],
  ["a connection that is reset before the answer", { kind: "reset" }],
  ["a connection that is reset in the middle of the body", { kind: "reset", afterBytes: 1000 }],
  ["an answer that does not come", { kind: "stall" }],
  ["a body that stands still", { kind: "stall", afterBytes: 1000 }],
];

const content = makeBytes(300_000, "content");
const key = "packs/one";

export interface FaultySetting {
  readonly store: ObjectStore;
  readonly proxy: FaultyProxy;
}

/** `open` gives a store behind a proxy that lets everything through, and holds `packs/one` with `prepare`d bytes. */
export function testRemoteFaults(
  test: TestFn,
  name: string,
  open: (t: ExecutionContext, key: string, bytes: Buffer, policy: RemotePolicy) => Promise<FaultySetting>,
): void {
  for (const [what, fault] of passing)
    test(`${name}: ${what} passes unnoticed when it passes, and is told when it goes on`, async (t) => {
      const policy = fault.kind === "stall" ? soon : impatient;
      const times = fault.kind === "stall" ? 1 : 2;
      const { store, proxy } = await open(t, key, content, policy);
      let start = proxy.count;
      proxy.decide = (_, count) => (count < start + times ? fault : undefined);
      t.true((await store.get(key)).equals(content));
      t.true(proxy.count - start > times);
      start = proxy.count;
      proxy.decide = () => fault;
      const code = what === "throttling" ? "store-throttled" : "store-unavailable";
      await t.throwsAsync(store.get(key, { range: { start: 10, length: 20_000 } }), { code, message: /127\.0\.0\.1/ });
      t.is(proxy.count - start, policy.maxAttempts, "retries are bounded");
      proxy.decide = () => undefined;
      t.true((await store.get(key)).equals(content), "recovery needs no hand");
    });

  test(`${name}: a store that asks for a pause gets it`, async (t) => {
    const { store, proxy } = await open(t, key, content, impatient);
    const start = proxy.count;
    proxy.decide = (_, count) =>
      count === start ? { kind: "status", status: 503, headers: { "retry-after": "1" } } : undefined;
    const began = performance.now();
    await store.get(key);
    t.true(performance.now() - began >= 990);
  });

  test(`${name}: a truncated object is damage, and a flipped one comes as it is, for its reader to find`, async (t) => {
    const { store, proxy } = await open(t, key, content, impatient);
    const start = proxy.count;
    proxy.decide = () => ({ kind: "truncate" });
    const cut = store.get(key, { range: { start: 0, length: 1000 } });
    await t.throwsAsync(cut, { code: "object-damaged", message: /packs\/one/ });
    t.is(proxy.count - start, 1, "asking again would not help");
    proxy.decide = () => ({ kind: "flip" });
    t.false((await store.get(key)).equals(content));
  });

  test(`${name}: a request that is aborted ends at once, with its reason`, async (t) => {
    const { store, proxy } = await open(t, key, content, impatient);
    const ending = new AbortController();
    proxy.decide = () => {
      setTimeout(() => ending.abort(new Error("enough")), 20);
      return { kind: "stall" };
    };
    const start = proxy.count;
    await t.throwsAsync(store.get(key, { signal: ending.signal }), { message: "enough" });
    t.is(proxy.count - start, 1);
  });

  test(`${name}: what is refused is told at once, and what to do`, async (t) => {
    const { store, proxy } = await open(t, key, content, impatient);
    proxy.decide = () => ({ kind: "status", status: 403 });
    await t.throwsAsync(store.get(key), { code: "store-credentials" });
    proxy.decide = () => ({ kind: "status", status: 301, headers: { location: "http://169.254.169.254/" } });
    await t.throwsAsync(store.get(key), { code: "store-unavailable" });
  });
}
