/** Messages byte for byte, without a kernel: the device is a file to which the replies are appended. */
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import type { FileSystem } from "../../../cowfs/file-system.ts";
import { Opcode } from "../../../cowfs/fuse/protocol.ts";
import { Request } from "../../../cowfs/fuse/request.ts";
import { Session } from "../../../cowfs/fuse/session.ts";
import fc from "../../property.ts";
import { createModel } from "../model/model.ts";
import { oddName, World } from "../posix-rules/world.ts";

const rootNode = 1;

function u32(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [index, value] of values.entries()) bytes.writeUInt32LE(value, index * 4);
  return bytes;
}

function u64(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 8);
  for (const [index, value] of values.entries()) bytes.writeBigInt64LE(BigInt(value), index * 8);
  return bytes;
}

function text(...names: string[]): Buffer {
  return Buffer.from(names.map((name) => `${name}\0`).join(""), "latin1");
}

/** Sends a request to a session and gives its reply: errno and body. */
function connect(t: ExecutionContext, fileSystem: FileSystem, validSeconds = 60, errors?: unknown[]) {
  const directory = mkdtempSync(join(tmpdir(), "xeno-fuse-session-"));
  const path = join(directory, "replies");
  const device = openSync(path, "w");
  t.teardown(() => {
    closeSync(device);
    rmSync(directory, { recursive: true });
  });
  const onError = (error: unknown) => errors?.push(error) ?? t.fail(String(error));
  const session = new Session(fileSystem, { device, validSeconds, onFailure: onError, onError });
  let unique = 2 ** 33;
  let read = 0;
  const send = (opcode: number, node: number, ...body: Buffer[]) => {
    unique += 2;
    const payload = Buffer.concat(body);
    const header = Buffer.concat([u32(40 + payload.length, opcode), u64(unique, node), u32(1000, 1000, 77, 0)]);
    const bytes = Buffer.from(new ArrayBuffer(40 + ((payload.length + 3) & ~3)));
    Buffer.concat([header, payload]).copy(bytes);
    session.accept(new Request(bytes));
    const replies = readFileSync(path).subarray(read);
    if (replies.length === 0) return undefined;
    read += replies.length;
    t.is(replies.readUInt32LE(0), replies.length);
    t.is(Number(replies.readBigUInt64LE(8)), unique);
    return { errno: Math.abs(replies.readInt32LE(4)), body: replies.subarray(16) };
  };
  return { session, send };
}

test("INIT agrees on version, sizes and only what was offered", async (t) => {
  const errors: unknown[] = [];
  const { session, send } = connect(t, createModel(), 60, errors);
  const offer = (minor: number, flags: number) => send(Opcode.init, 0, u32(7, minor, 131072, flags), Buffer.alloc(48))!;
  const { errno, body } = offer(36, 0xffffffff);
  t.is(errno, 0);
  t.is(body.length, 64);
  t.deepEqual([body.readUInt32LE(0), body.readUInt32LE(4), body.readUInt32LE(20)], [7, 31, 1 << 20]);
  const writebackCache = 1 << 16;
  t.is(body.readUInt32LE(12) & writebackCache, 0);
  t.is(offer(31, 0).body.readUInt32LE(12), 0);
  await session.initialized;
  t.is(offer(30, 0xffffffff).errno, 5);
  t.like(errors, [{ code: "fuse-too-old" }]);
});

test("an entry carries node, attributes and validity; a name that is not there has none but the validity", (t) => {
  const model = createModel();
  const w = new World(model);
  const id = w.file({ name: oddName, mode: 0o4640, content: "abc", modified: { seconds: -2, nanoseconds: 5 } });
  w.does((fs) => fs.setAttributes({ uid: 0, gid: 0, groups: [] }, id, { modified: { seconds: -2, nanoseconds: 5 } }));
  const { session, send } = connect(t, model);
  const { body } = send(Opcode.lookup, rootNode, text(oddName))!;
  t.is(body.length, 128);
  t.is(Number(body.readBigUInt64LE(0)), id + 2);
  t.deepEqual([body.readBigUInt64LE(16), body.readBigUInt64LE(24)], [60n, 60n]);
  const attributes = body.subarray(40);
  t.is(Number(attributes.readBigUInt64LE(0)), id);
  t.is(attributes.readBigUInt64LE(8), 3n);
  t.is(attributes.readBigInt64LE(32), -2n);
  t.is(attributes.readUInt32LE(52), 5);
  t.is(attributes.readUInt32LE(60), 0o104640);
  t.deepEqual([attributes.readUInt32LE(68), attributes.readUInt32LE(72)], [1000, 1000]);
  t.is(session.nodes.size, 1);
  const absent = send(Opcode.lookup, rootNode, text("absent"))!;
  t.deepEqual([absent.errno, absent.body.readBigUInt64LE(0), absent.body.readBigUInt64LE(16)], [0, 0n, 60n]);
  t.is(session.nodes.size, 1);
});

test("forgetting counts down, in ones and in batches, and is not answered", (t) => {
  const model = createModel();
  const w = new World(model);
  const [a, b] = [w.file({ name: "a" }), w.file({ name: "b" })];
  const { session, send } = connect(t, model);
  for (const name of ["a", "a", "b"]) send(Opcode.lookup, rootNode, text(name));
  t.is(send(Opcode.forget, a + 2, u64(1)), undefined);
  t.is(session.nodes.size, 2);
  t.is(send(Opcode.batchForget, 0, u32(2, 0), u64(a + 2, 1, b + 2, 1)), undefined);
  t.is(session.nodes.size, 0);
  // More than was given is a kernel's mistake that must not become ours.
  t.is(send(Opcode.forget, a + 2, u64(1)), undefined);
});

test("unknown requests are answered ENOSYS, exchanging names EINVAL, a stale node ESTALE", (t) => {
  const model = createModel();
  new World(model).file({ name: "a" });
  const { send } = connect(t, model);
  for (const opcode of [25, 34, 43, 46, 47, 50, 51, 52, 4095])
    t.is(send(opcode, rootNode, Buffer.alloc(64))!.errno, 38);
  t.is(send(Opcode.rename2, rootNode, u64(rootNode), u32(2, 0), text("a", "b"))!.errno, 22);
  t.is(send(Opcode.rename2, rootNode, u64(rootNode), u32(1, 0), text("a", "a"))!.errno, 17);
  t.is(send(Opcode.getattr, 999, Buffer.alloc(16))!.errno, 116);
});

test("OPEN is never asked again where only we write, and always where others do", (t) => {
  t.is(connect(t, createModel()).send(Opcode.open, rootNode, u32(0, 0))!.errno, 38);
  const asked = connect(t, createModel(), 0).send(Opcode.open, rootNode, u32(0, 0))!;
  t.deepEqual([asked.errno, asked.body], [0, Buffer.alloc(16)]);
});

test("directory pages of any size hold every entry once and never exceed the size", (t) => {
  const property = fc.property(
    fc.uniqueArray(fc.string({ unit: fc.constantFrom("a", "b", "\xff"), minLength: 1, maxLength: 40 }), {
      maxLength: 40,
    }),
    fc.integer({ min: 300, max: 4096 }),
    fc.boolean(),
    (names, size, plus) => {
      const model = createModel();
      const w = new World(model);
      for (const name of names) w.file({ name });
      const { session, send } = connect(t, model);
      const opcode = plus ? Opcode.readdirplus : Opcode.readdir;
      const seen: string[] = [];
      for (let offset = 0; ; ) {
        const { body } = send(opcode, rootNode, u64(0, offset), u32(size, 0), Buffer.alloc(16))!;
        if (body.length === 0) break;
        t.true(body.length <= size);
        for (let at = 0; at < body.length; ) {
          if (plus) at += 128;
          offset = Number(body.readBigUInt64LE(at + 8));
          const length = body.readUInt32LE(at + 16);
          seen.push(body.toString("latin1", at + 24, at + 24 + length));
          at += (24 + length + 7) & ~7;
        }
      }
      t.deepEqual(seen.toSorted(), [".", "..", ...names].toSorted());
      t.is(session.nodes.size, plus ? names.length : 0);
    },
  );
  fc.assert(property, { numRuns: 40 });
});
