/** Who waits for a lock is told when it is there (NLM_GRANTED), in turn, and a lock that nobody takes is not kept. */
import net from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import test, { type ExecutionContext } from "ava";
import { LockQueue, type WantedLock } from "../../../cowfs/nfs/locks/lock-queue.ts";
import { LockTable } from "../../../cowfs/nfs/locks/lock-table.ts";
import { createTellGranted } from "../../../cowfs/nfs/locks/tell-granted.ts";
import fc from "../../property.ts";
import type { Client } from "./client.ts";
import { encode } from "./encoder.ts";
import { makeFile, serveModel } from "./fixture.ts";

const nlm = { program: 100021, version: 4 };
const granted = 0;
const denied = 1;
const blocked = 3;
const never = new Promise<never>(() => {});

const wantedBy = (name: string, { start = 0, end = 10, isExclusive = true } = {}): WantedLock => ({
  file: "f",
  owner: { client: `export host ${name}`, process: "1 o" },
  wanted: { start, end, isExclusive },
  host: "192.0.2.1",
  handle: Buffer.from("handle"),
});

/** A table, a queue over it, and the calls that it makes: each is answered by the test. */
function makeQueue() {
  const table = new LockTable();
  const calls: { lock: WantedLock; answer: PromiseWithResolvers<boolean> }[] = [];
  const queue = new LockQueue(table, (lock) => {
    const answer = Promise.withResolvers<boolean>();
    calls.push({ lock, answer });
    return answer.promise;
  });
  const take = ({ file, owner, wanted }: WantedLock) => table.lock(file, owner, wanted);
  const giveBack = ({ file, owner, wanted }: WantedLock) => table.unlock(file, owner, wanted);
  const isFree = ({ file, owner, wanted }: WantedLock) => table.findConflict(file, owner, wanted) === undefined;
  const names = () => calls.map(({ lock }) => lock.owner.client.at(-1));
  return { table, queue, calls, take, giveBack, isFree, names };
}

async function waitUntil(isSo: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = performance.now() + 60_000; !(await isSo()); await delay(5))
    if (performance.now() > end) throw new Error("not in time");
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

test("who asked first is told first, and has it before it is called", async (t) => {
  const { queue, calls, take, giveBack, isFree, names } = makeQueue();
  const [a, b, c] = ["a", "b", "c"].map((name) => wantedBy(name));
  take(a);
  queue.wait(b);
  queue.wait(c);
  queue.wait(b);
  t.is(queue.count, 2, "asked again, it keeps its place");
  giveBack(a);
  t.deepEqual(names(), ["b"]);
  t.false(isFree(a));
  calls[0].answer.resolve(true);
  await turn();
  giveBack(b);
  t.deepEqual(names(), ["b", "c"]);
});

test("shared locks are granted together, and a range that is free passes one that is not", (t) => {
  const { queue, take, giveBack, names } = makeQueue();
  take(wantedBy("a"));
  queue.wait(wantedBy("b", { isExclusive: false }));
  queue.wait(wantedBy("c", { end: 20 }));
  queue.wait(wantedBy("d", { isExclusive: false, end: 5 }));
  giveBack(wantedBy("a", { start: 0, end: 5 }));
  t.deepEqual(names(), ["d"]);
  giveBack(wantedBy("a"));
  t.deepEqual(names(), ["d", "b"]);
});

test("a lock that its client does not want, or cannot be told of, goes to the next, and what it held stays", async (t) => {
  for (const end of ["denied", "unreachable"]) {
    const { table, queue, calls, take, giveBack, names } = makeQueue();
    const shared = wantedBy("b", { isExclusive: false, end: 4 });
    take(wantedBy("a", { isExclusive: false }));
    take(shared);
    queue.wait(wantedBy("b"));
    queue.wait(wantedBy("c", { start: 5 }));
    giveBack(wantedBy("a"));
    t.deepEqual(names(), ["b"]);
    if (end === "denied") calls[0].answer.resolve(false);
    else calls[0].answer.reject(new Error("nobody is there"));
    await turn();
    t.deepEqual(names(), ["b", "c"], end);
    t.deepEqual(table.listHeld("f", shared.owner, { start: 0, end: 100 }), [
      { ...shared.wanted, owner: shared.owner },
    ] as never);
  }
});

test("a client that asked again while it was called keeps its lock, whatever becomes of the call", async (t) => {
  const { queue, calls, take, giveBack, isFree } = makeQueue();
  take(wantedBy("a"));
  queue.wait(wantedBy("b"));
  giveBack(wantedBy("a"));
  take(wantedBy("b"));
  queue.claim(wantedBy("b"));
  calls[0].answer.reject(new Error("nobody is there"));
  await turn();
  t.false(isFree(wantedBy("a")));
  t.is(queue.count, 0);
});

test("who gives up waits no longer, also where it was told in the same moment; a client that starts anew waits for nothing", async (t) => {
  for (const moment of ["waiting", "calling", "told"]) {
    const { queue, calls, take, giveBack, isFree, names } = makeQueue();
    take(wantedBy("a"));
    queue.wait(wantedBy("b"));
    if (moment !== "waiting") giveBack(wantedBy("a"));
    if (moment === "told") calls[0].answer.resolve(true);
    await turn();
    queue.cancel(wantedBy("b"));
    if (moment === "calling") calls[0].answer.resolve(true);
    await turn();
    giveBack(wantedBy("a"));
    t.true(isFree(wantedBy("c")), moment);
    t.is(queue.count, 0);
    queue.wait(wantedBy("d"));
    queue.forget(wantedBy("d").owner.client);
    t.is(queue.count, 0);
    t.is(names().length, moment === "waiting" ? 0 : 1);
  }
});

test("a lock that is taken back goes to nobody in part, and one that its owner gave back is not taken again", async (t) => {
  const { table, queue, calls, take, giveBack, isFree } = makeQueue();
  take(wantedBy("a", { isExclusive: false }));
  take(wantedBy("b", { isExclusive: false }));
  queue.wait(wantedBy("b"));
  queue.wait(wantedBy("c"));
  giveBack(wantedBy("a"));
  calls[0].answer.resolve(false);
  await turn();
  t.is(calls.length, 1, "b has its shared lock again");
  t.deepEqual(table.listHeld("f", wantedBy("c").owner, { start: 0, end: 100 }), []);
  giveBack(wantedBy("b"));
  t.is(calls.length, 2);
  queue.wait(wantedBy("d"));
  giveBack(wantedBy("c"));
  calls[1].answer.reject(new Error("nobody is there"));
  calls[2].answer.resolve(true);
  await turn();
  t.deepEqual(table.listHeld("f", wantedBy("c").owner, { start: 0, end: 100 }), []);
  t.false(isFree(wantedBy("a")), "it is d's");
});

test("who waits for what it has had before is told again", async (t) => {
  const { queue, calls, take, giveBack, names } = makeQueue();
  for (let round = 0; round < 3; round++) {
    take(wantedBy("a"));
    queue.wait(wantedBy("b"));
    giveBack(wantedBy("a"));
    calls[round].answer.resolve(true);
    await turn();
    giveBack(wantedBy("b"));
  }
  t.deepEqual(names(), ["b", "b", "b"]);
});

test("however many wait, their number and the calls to a host are bounded", (t) => {
  const { queue, take, giveBack, calls } = makeQueue();
  take(wantedBy("a", { end: 1000 }));
  for (let start = 0; start < 1000; start++) queue.wait(wantedBy("b", { start, end: start + 1 }));
  t.is(queue.count, 256);
  for (let host = 0; host < 100; host++)
    for (let start = 0; start < 100; start++)
      queue.wait({ ...wantedBy("b", { start, end: start + 1 }), file: `f${host}`, host: `192.0.2.${host + 2}` });
  t.is(queue.count, 4096);
  giveBack(wantedBy("a", { end: 1000 }));
  t.is(calls.length, 8);
  queue.close();
  t.is(queue.count, 0);
});

test("any sequence ends with no two owners of a byte, and nobody waits for what is free", async (t) => {
  const step = fc.record({
    action: fc.constantFrom("ask", "ask", "ask", "give back", "cancel", "accept", "refuse", "lose"),
    name: fc.constantFrom("a", "b", "c"),
    start: fc.nat(3),
    length: fc.integer({ min: 1, max: 3 }),
    isExclusive: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const { table, queue, calls, take, giveBack, isFree } = makeQueue();
      for (const { action, name, start, length, isExclusive } of steps) {
        const lock = wantedBy(name, { start, end: start + length, isExclusive });
        if (action === "ask") {
          if (!isFree(lock)) queue.wait(lock);
          else if (take(lock)) queue.claim(lock);
        } else if (action === "give back") giveBack(lock);
        else if (action === "cancel") queue.cancel(lock);
        else if (action === "lose") calls.shift()?.answer.reject(new Error("lost"));
        else calls.shift()?.answer.resolve(action === "accept");
        await turn();
        for (const each of ["a", "b", "c"])
          for (const held of table.listHeld("f", wantedBy(each).owner, { start: 0, end: 100 }))
            if (table.findConflict("f", wantedBy(each).owner, held) !== undefined) return false;
      }
      for (const call of calls) call.answer.resolve(true);
      for (const name of ["a", "b", "c"])
        for (let round = 0; round < 20; round++) {
          giveBack(wantedBy(name, { end: 100 }));
          for (const call of calls.splice(0)) call.answer.resolve(true);
          await turn();
        }
      for (let round = 0; round < 20; round++)
        for (const name of ["a", "b", "c"]) {
          giveBack(wantedBy(name, { end: 100 }));
          for (const call of calls.splice(0)) call.answer.resolve(true);
          await turn();
        }
      return table.count === 0;
    }),
    { numRuns: 200 },
  );
  t.pass();
});

/** What a client's host runs: a portmapper and a lock manager on one port. */
async function serveLockManager(t: ExecutionContext, answer: (args: Buffer) => Promise<number>) {
  const asked: Buffer[] = [];
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    let received = Buffer.alloc(0);
    socket.on("data", async (data) => {
      received = Buffer.concat([received, data]);
      while (received.length >= 4 && received.length >= 4 + (received.readUInt32BE(0) & 0x7fffffff)) {
        const record = received.subarray(4, 4 + (received.readUInt32BE(0) & 0x7fffffff));
        received = received.subarray(4 + record.length);
        const args = record.subarray(32 + record.readUInt32BE(28) + 8);
        const isLock = record.readUInt32BE(12) === 100021;
        if (isLock) asked.push(args);
        const results = isLock
          ? encode()
              .string("xeno")
              .u32(await answer(args))
          : encode().u32(port);
        const reply = encode()
          .u32(record.readUInt32BE(0))
          .u32(1)
          .u32(0)
          .u32(0)
          .u32(0)
          .u32(0)
          .raw(results.take())
          .take();
        socket.write(
          Buffer.concat([
            encode()
              .u32(0x80000000 + reply.length)
              .take(),
            reply,
          ]),
        );
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as net.AddressInfo;
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { port, asked };
}

/** nlm4_lock. */
const lockOf = (file: Buffer, name: string, start: number, length: number) =>
  encode().string(name).opaque(file).string("owner").u32(7).u64(start).u64(length).take();

async function lock(client: Client, file: Buffer, name: string, start = 0, length = 0, isBlocking = true) {
  const args = encode()
    .string("cookie")
    .u32(Number(isBlocking))
    .u32(1)
    .raw(lockOf(file, name, start, length))
    .u32(0)
    .u32(1);
  const reply = await client.call(2, args, nlm);
  reply.string();
  return reply.u32();
}

const unlock = (client: Client, file: Buffer, name: string) =>
  client.call(
    4,
    encode()
      .string("cookie")
      .raw(lockOf(file, name, 0, 0)),
    nlm,
  );

test("a client's lock manager is called with the lock that it waits for, byte for byte", async (t) => {
  const { port, asked } = await serveLockManager(t, async () => granted);
  const { client, connect, root } = await serveModel(t, { tellGranted: createTellGranted({ portmapPort: port }) });
  const file = await makeFile(client, root, "f", "content");
  const second = await connect();
  t.is(await lock(client, file, "first"), granted);
  t.is(await lock(second, file, "second", 5, 10), blocked);
  await unlock(client, file, "first");
  await waitUntil(() => asked.length === 1);
  const args = asked[0];
  t.is(args.readUInt32BE(8), 1, "exclusive");
  const rest = encode().opaque(file).string("owner").u32(7).u64(5).u64(10).take();
  t.deepEqual(args.subarray(-rest.length), rest);
  t.is(await lock(client, file, "first", 0, 5), granted);
  t.is(await lock(client, file, "first", 5, 1), blocked);
});

test("a lock manager that refuses, is not there or never answers keeps the lock from nobody", async (t) => {
  let answers = 0;
  const { port } = await serveLockManager(t, () => (answers++ === 0 ? Promise.resolve(denied) : never));
  const { client, connect, root } = await serveModel(t, {
    tellGranted: createTellGranted({ portmapPort: port, deadlineMs: 3000 }),
  });
  const file = await makeFile(client, root, "f", "content");
  const second = await connect();
  for (const _ of ["refuses", "never answers"]) {
    t.is(await lock(client, file, "first"), granted);
    t.is(await lock(second, file, "second"), blocked);
    await unlock(client, file, "first");
    await waitUntil(async () => (await lock(client, file, "first", 0, 0, false)) === granted);
    await unlock(client, file, "first");
  }
  // A slow machine may not have come to ask.
  t.true(answers <= 2);
});
