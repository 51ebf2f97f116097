/** Locks: the table against a model that holds each byte by itself, and NLM v4 on the wire (RFC 1813 appendix II, XNFS chapter 10). */
import fs from "node:fs";
import test from "ava";
import { LiveProcess } from "../../../cowfs/layers/live/process.ts";
import { LockTable } from "../../../cowfs/nfs/locks/lock-table.ts";
import fc from "../../property.ts";
import { makeFastDirectory } from "../fast-directory.ts";
import { openScratch } from "../union/scratch.ts";
import { type Client, nfs } from "./client.ts";
import { type Encoder, encode } from "./encoder.ts";
import { makeFile, mount, serveExport, serveModel } from "./fixture.ts";

const nlm = { program: 100021, version: 4 };
const granted = 0;
const denied = 1;
const noLocks = 2;
const blocked = 3;
const stale = 7;
const tooBig = 8;
const failed = 9;

const bytes = 24;

test("any sequence of locks and restarts leaves what a table of single bytes would hold", (t) => {
  const home = makeFastDirectory();
  t.teardown(() => fs.rmSync(home, { recursive: true }));
  const kept = `${home}/locks`;
  const step = fc.record({
    action: fc.constantFrom("lock", "lock", "unlock", "test", "restart"),
    client: fc.constantFrom("a", "b"),
    process: fc.constantFrom("1", "2"),
    start: fc.nat(bytes),
    length: fc.nat(bytes),
    isExclusive: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      fs.rmSync(kept, { force: true });
      let table = new LockTable(kept);
      const model = Array.from({ length: bytes * 2 + 2 }, () => new Map<string, boolean>());
      for (const { action, client, process, start, length, isExclusive } of steps) {
        const end = length === 0 ? Number.POSITIVE_INFINITY : start + length;
        const owner = { client, process };
        const name = `${client} ${process}`;
        const range = model.slice(start, Math.min(end, model.length));
        const conflict = range.some((held) =>
          [...held].some(([other, exclusive]) => other !== name && (exclusive || isExclusive)),
        );
        if (action === "restart") {
          // A line that a crash cut off counts for nothing.
          if (fs.existsSync(kept)) fs.appendFileSync(kept, '["lock","f","a');
          table = new LockTable(kept);
          continue;
        }
        if (action === "unlock") {
          table.unlock("f", owner, { start, end });
          for (const held of range) held.delete(name);
          continue;
        }
        const found = table.findConflict("f", owner, { start, end, isExclusive });
        if ((found !== undefined) !== conflict) throw new Error(`${JSON.stringify(found)} against ${conflict}`);
        if (action === "test" || conflict) continue;
        table.lock("f", owner, { start, end, isExclusive });
        for (const held of range) held.set(name, isExclusive);
      }
      table.release("a");
      table.release("b");
      return table.count === 0;
    }),
    { numRuns: 500 },
  );
  t.pass();
});

interface Asked {
  readonly name?: string;
  readonly process?: number;
  readonly handle?: string;
  readonly start?: number;
  readonly length?: number;
}

/** nlm4_lock. */
function lockOf(file: Buffer, { name = "guest", process = 7, handle = "o", start = 0, length = 0 }: Asked): Buffer {
  return encode().string(name).opaque(file).string(handle).u32(process).u64(start).u64(length).take();
}

async function status(client: Client, procedure: number, args: Encoder): Promise<number> {
  const reply = await client.call(procedure, args, nlm);
  if (reply.string() !== "cookie") throw new Error("another cookie");
  return reply.u32();
}

const lock = (client: Client, file: Buffer, asked: Asked = {}, { blocking = false, exclusive = true } = {}) =>
  status(
    client,
    2,
    encode().string("cookie").u32(Number(blocking)).u32(Number(exclusive)).raw(lockOf(file, asked)).u32(0).u32(1),
  );

const unlock = (client: Client, file: Buffer, asked: Asked = {}) =>
  status(client, 4, encode().string("cookie").raw(lockOf(file, asked)));

test("a lock keeps other processes and other clients out, until it is taken off", async (t) => {
  const { client, connect, root } = await serveModel(t);
  const file = await makeFile(client, root, "f", "content");
  const second = await connect();
  t.is(await lock(client, file, { start: 10, length: 10 }), granted);
  t.is(await lock(client, file, { start: 10, length: 10 }), granted, "asked again");
  t.is(await lock(second, file, { name: "other", start: 15, length: 1 }), denied);
  t.is(await lock(second, file, { name: "other", start: 15, length: 1 }, { blocking: true }), blocked);
  t.is(await lock(client, file, { process: 8, start: 19, length: 100 }, { exclusive: false }), denied);
  t.is(await lock(second, file, { name: "other", start: 20 }), granted);
  const held = await client.call(
    1,
    encode()
      .string("cookie")
      .u32(0)
      .raw(lockOf(file, { process: 9, start: 0, length: 15 })),
    nlm,
  );
  t.is(held.string(), "cookie");
  t.deepEqual([held.u32(), held.u32(), held.u32(), held.string(), held.u64(), held.u64()], [denied, 1, 7, "o", 10, 10]);
  t.is(await unlock(client, file, { start: 12, length: 2 }), granted);
  t.is(await lock(second, file, { name: "other", start: 12, length: 2 }), granted);
  t.is(await lock(second, file, { name: "other", start: 11, length: 2 }), denied);
  t.is(await unlock(client, file), granted);
  t.is(await lock(second, file, { name: "other", start: 0, length: 20 }), granted);
  t.is(await status(client, 3, encode().string("cookie").u32(1).u32(1).raw(lockOf(file, {}))), granted);
});

test("shared locks go together, and a client that starts anew holds none", async (t) => {
  const { client, connect, root, exported } = await serveModel(t);
  const file = await makeFile(client, root, "f", "content");
  const second = await connect();
  for (const name of ["a", "b", "c"]) t.is(await lock(second, file, { name }, { exclusive: false }), granted);
  t.is(await lock(client, file, { name: "d" }), denied);
  await client.call(23, encode().string("a").u32(1), nlm);
  await client.call(6, encode().string("b").u32(3), { program: 100024, version: 1 });
  t.is(await lock(client, file, { name: "d" }), denied);
  await client.call(23, encode().string("c").u32(1), nlm);
  t.is(await lock(client, file, { name: "d" }), granted);
  exported.startEpoch(2);
  t.is(await lock(client, file, { name: "e" }), granted);
});

test("what cannot be locked is told with its cookie, and a client's locks are bounded", async (t) => {
  const { client, root } = await serveModel(t);
  const file = await makeFile(client, root, "f", "content");
  const forged = Buffer.from(file);
  forged[31] ^= 1;
  t.is(await lock(client, forged), stale);
  t.is(await lock(client, Buffer.alloc(32)), stale);
  t.is(await lock(client, root), failed);
  const removed = await makeFile(client, root, "gone");
  await client.call(nfs.remove, encode().opaque(root).string("gone"));
  t.is(await lock(client, removed), stale);
  const huge = encode().string("cookie").u32(0).u32(1).string("g").opaque(file).string("o").u32(1);
  huge.u32(0x7fffffff).u32(0).u32(0).u32(1).u32(0).u32(1);
  t.is(await status(client, 2, huge), tooBig);
  let held = 0;
  while ((await lock(client, file, { start: held * 2, length: 1 })) === granted) held++;
  t.is(await lock(client, file, { start: held * 2, length: 1 }), noLocks);
  t.true(held > 500 && held < 1100);
  t.is(await unlock(client, file), granted);
  t.is(await lock(client, file, { start: 1, length: 1 }), granted);
});

test("guests of two exports that share a live layer lock the same file; their own files are their own", async (t) => {
  const home = fs.realpathSync(makeFastDirectory());
  t.teardown(() => fs.rmSync(home, { recursive: true }));
  fs.writeFileSync(`${home}/log`, "log");
  const files = new LiveProcess({ kind: "directory", path: home, isWritable: true });
  t.teardown(() => files.close());
  const live = { "live://it": { id: "live://it", isLive: true, isWritable: true, files } as const };
  const locks = new LockTable();
  const guests = [];
  for (let index = 0; index < 2; index++) {
    const union = await openScratch(t, { layers: {}, live });
    await union.makeDirectory("/s");
    await union.write("/s/.mount", "rw live://it\n.\n");
    await union.write("/mine", "mine");
    const { connect, exported } = await serveExport(t, { fileSystem: union.fs, locks });
    const client = await connect();
    const find = async (from: Buffer, name: string) => {
      const reply = await client.call(nfs.lookup, encode().opaque(from).string(name));
      t.is(reply.u32(), 0);
      return reply.opaque();
    };
    const top = await mount(client);
    guests.push({ client, exported, log: await find(await find(top, "s"), "log"), mine: await find(top, "mine") });
  }
  const [first, second] = guests;
  t.is(await lock(first.client, first.mine), granted);
  t.is(await lock(second.client, second.mine), granted);
  t.is(await lock(first.client, first.log), granted);
  t.is(await lock(second.client, second.log), denied, "the same name and process, of another guest");
  first.exported.close();
  t.is(await lock(second.client, second.log), denied, "it may be opened again");
  first.exported.releaseLocks();
  t.is(await lock(second.client, second.log), granted);
});

test("locks outlive their process, and not the boot of the host; their file stays short, and a full disk refuses locks", (t) => {
  const home = makeFastDirectory();
  t.teardown(() => fs.rmSync(home, { recursive: true }));
  const kept = `${home}/locks`;
  const [one, other] = ["1", "2"].map((process) => ({ client: "export host name", process }));
  const wanted = { start: 0, end: 10, isExclusive: true };
  const table = new LockTable(kept);
  t.true(table.lock("f", one, wanted));
  for (let count = 0; count < 5000; count++) {
    t.true(table.lock("g", one, wanted));
    table.unlock("g", one, wanted);
  }
  t.true(fs.statSync(kept).size < 200_000, `${fs.statSync(kept).size} bytes`);
  const next = new LockTable(kept);
  t.is(next.count, 1);
  t.like(next.findConflict("f", other, wanted), { owner: one });
  const heir = new LockTable(`${home}/heir`, [kept]);
  t.is(heir.count, 1);
  fs.renameSync(kept, `${kept}.gone`);
  t.like(new LockTable(`${home}/heir`).findConflict("f", other, wanted), { owner: one }, "taken over for good");
  fs.renameSync(`${kept}.gone`, kept);
  fs.writeFileSync(kept, fs.readFileSync(kept, "latin1").replace(/^[^\n]*/, "another boot"));
  t.is(new LockTable(kept).count, 0);
  const nowhere = new LockTable(`${home}/missing/locks`);
  t.false(nowhere.lock("f", one, wanted));
  t.is(nowhere.count, 0);
});

test("an export's clients hold no more together than the bound, whatever they call themselves", (t) => {
  const table = new LockTable();
  const wanted = { start: 0, end: 10, isExclusive: false };
  let held = 0;
  for (let index = 0; index < 20_000; index++)
    if (table.lock(`f${index}`, { client: `export host ${index}`, process: "1" }, wanted)) held++;
  t.true(held > 16_000 && held <= 16_384, `${held}`);
  t.true(table.lock("f", { client: "another host name", process: "1" }, wanted));
  table.releaseAll("export ");
  t.is(table.count, 1);
  t.true(table.lock("f", { client: "export host new", process: "1" }, wanted));
});

test("a guest that booted anew while nobody served it holds nothing of its life before", (t) => {
  const home = makeFastDirectory();
  t.teardown(() => fs.rmSync(home, { recursive: true }));
  const owner = { client: "export host name", process: "1" };
  const wanted = { start: 0, end: 10, isExclusive: true };
  const open = (epoch: number) => {
    const table = new LockTable(`${home}/locks`);
    table.startLife("export", epoch);
    return table;
  };
  t.true(open(4).lock("f", owner, wanted));
  t.is(open(4).count, 1);
  t.is(open(5).count, 0);
  const table = open(5);
  t.true(table.lock("f", owner, wanted));
  table.startLife("export", 6);
  t.is(table.count, 0);
  t.is(open(6).count, 0);
});
