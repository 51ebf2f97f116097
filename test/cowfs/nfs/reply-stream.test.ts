import test from "ava";
import { ReplyPool } from "../../../cowfs/nfs/reply-pool.ts";
import { ReplyStream } from "../../../cowfs/nfs/reply-stream.ts";
import { createModel } from "../model/model.ts";
import { encodeCall, mark, nfs } from "./client.ts";
import { encode } from "./encoder.ts";
import { makeFile, serveModel } from "./fixture.ts";

function finishRecord(replies: ReplyStream, bytes: number): void {
  const writer = replies.begin();
  writer.ensure(bytes);
  writer.position += bytes;
  replies.finish();
}

test("a record that moved to a chunk of its own and was dropped leaves no empty chunk to send", (t) => {
  const replies = new ReplyStream(new ReplyPool());
  finishRecord(replies, 100);
  replies.begin().ensure(1 << 20);
  replies.restart();
  const chunks = replies.take();
  t.deepEqual(
    chunks.map((chunk) => chunk.used),
    [104],
  );
});

test("a record keeps what it held when it moves, and the records before it stay", (t) => {
  const replies = new ReplyStream(new ReplyPool());
  finishRecord(replies, 100);
  const writer = replies.begin();
  writer.writeUint32(0xabcdef01);
  writer.ensure(1 << 20);
  writer.writeUint32(2);
  replies.finish();
  const [first, second] = replies.take();
  t.is(first.used, 104);
  t.is(second.bytes.toString("hex", 0, second.used), "80000008abcdef0100000002");
});

test("a connection goes on after a large read faulted behind replies that the client was slow to take", async (t) => {
  const fileSystem = createModel();
  const { client, root } = await serveModel(t, { fileSystem, jukeboxMs: 200 });
  const file = await makeFile(client, root, "file", "x");
  const results = await client.call(nfs.setattr, setSize(file, 1 << 20));
  t.is(results.u32(), 0);
  let reads = 0;
  const read = fileSystem.read.bind(fileSystem);
  const { Fault } = await import("../../../cowfs/fault.ts");
  fileSystem.read = (...args) => {
    // Every fourth waits for ever, and is given up.
    if (reads++ % 4 === 3) throw new Fault([{ key: "never", bring: () => new Promise<void>(() => {}) }]);
    return read(...args);
  };
  const args = encode()
    .opaque(file)
    .u64(0)
    .u32(1 << 20)
    .take();
  client.socket.pause();
  for (let xid = 1; xid <= 24; xid++) client.send(mark(encodeCall(nfs.read, args, { xid })));
  setTimeout(() => client.socket.resume(), 50);
  for (let xid = 1; xid <= 24; xid++) t.true([0, 10008].includes((await client.reply(xid)).readUInt32BE(24)));
});

function setSize(file: Buffer, size: number): Buffer {
  return encode().opaque(file).u32(0).u32(0).u32(0).u32(1).u64(size).u32(0).u32(0).u32(0).take();
}
