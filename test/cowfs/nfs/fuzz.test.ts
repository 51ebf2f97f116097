import test from "ava";
import { type Client, encodeCall, mark, nfs } from "./client.ts";
import { encode } from "./encoder.ts";
import { makeFile, serveModel } from "./fixture.ts";
import { attributes } from "./results.ts";

/** A small generator (mulberry32), so that a failing run can be repeated by its seed. */
function createRandom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

function seeds(root: Buffer, file: Buffer): Buffer[] {
  const sattr = attributes({ mode: 0o644, uid: 1, gid: 2, size: 3, accessed: "now", modified: [1, 2] });
  const args: [number, Buffer, number?][] = [
    [nfs.getattr, encode().opaque(file).take()],
    [nfs.setattr, encode().opaque(file).raw(sattr).u32(1).u32(1).u32(1).take()],
    [nfs.lookup, encode().opaque(root).string("file").take()],
    [nfs.access, encode().opaque(file).u32(63).take()],
    [nfs.readlink, encode().opaque(file).take()],
    [nfs.read, encode().opaque(file).u64(0).u32(4096).take()],
    [nfs.write, encode().opaque(file).u64(0).u32(8).u32(0).string("12345678").take()],
    [nfs.create, encode().opaque(root).string("c").u32(0).raw(sattr).take()],
    [nfs.create, encode().opaque(root).string("e").u32(2).u64(7).take()],
    [nfs.mkdir, encode().opaque(root).string("d").raw(sattr).take()],
    [nfs.symlink, encode().opaque(root).string("s").raw(attributes()).string("target").take()],
    [nfs.mknod, encode().opaque(root).string("n").u32(3).raw(attributes()).u32(1).u32(2).take()],
    [nfs.remove, encode().opaque(root).string("c").take()],
    [nfs.rmdir, encode().opaque(root).string("d").take()],
    [nfs.rename, encode().opaque(root).string("c").opaque(root).string("r").take()],
    [nfs.link, encode().opaque(file).opaque(root).string("l").take()],
    [nfs.readdir, encode().opaque(root).u64(0).u64(0).u32(4096).take()],
    [nfs.readdirplus, encode().opaque(root).u64(0).u64(0).u32(4096).u32(8192).take()],
    [nfs.fsstat, encode().opaque(root).take()],
    [nfs.fsinfo, encode().opaque(root).take()],
    [nfs.pathconf, encode().opaque(root).take()],
    [nfs.commit, encode().opaque(file).u64(0).u32(0).take()],
    [1, encode().string("/").take(), 100005],
    [3, encode().u32(100003).u32(3).u32(6).u32(0).take(), 100000],
  ];
  return args.map(([procedure, bytes, program]) =>
    encodeCall(procedure, bytes, { xid: 1, program, version: program === 100000 ? 2 : 3 }),
  );
}

/** Flips bytes, sets words to telling values, cuts, extends: the last byte of some, the header of others. */
function mutate(message: Buffer, random: (below: number) => number): Buffer {
  let mutated = Buffer.from(message);
  const telling = [0, 1, 2, 3, 0x7fffffff, 0x80000000, 0xfffffffc, 0xffffffff, 1 << 20, 400, 64];
  for (let times = random(3); times >= 0; times--) {
    // Mostly after the xid and message type, without which a message is only dropped.
    const word = 8 + 4 * random(Math.max(1, (mutated.length - 8) >> 2));
    switch (random(4)) {
      case 0:
        mutated[Math.min(8 + random(mutated.length), mutated.length - 1)] ^= 1 << random(8);
        break;
      case 1:
        if (word + 4 <= mutated.length) mutated.writeUInt32BE(telling[random(telling.length)], word);
        break;
      case 2:
        // Rarely within the header, which closes the connection.
        mutated = mutated.subarray(0, Math.max(random(100) === 0 ? 24 : 72, random(mutated.length)));
        break;
      default:
        mutated = Buffer.concat([mutated, Buffer.alloc(random(64), random(256))]);
    }
  }
  return mutated;
}

test("30,000 mutated messages crash nothing, break nothing, and leave no memory behind", async (t) => {
  const seed = Math.floor(Math.random() * 2 ** 32);
  const random = createRandom(seed);
  const {
    client: first,
    root,
    connect,
    exported,
  } = await serveModel(t, {
    onInternalError: (what, error) => t.fail(`seed ${seed}: ${what}: ${(error as Error).stack}`),
  });
  const file = await makeFile(first, root, "file", "content");
  const samples = seeds(root, file);
  let client: Client = await connect();
  const sendBatch = async (count: number) => {
    if (client.isClosed) client = await connect();
    const batch: Buffer[] = [];
    for (let i = 0; i < count; i++) batch.push(mark(mutate(samples[random(samples.length)], random)));
    client.send(Buffer.concat(batch));
    // A message whose header was cut may have closed the connection: that is an answer too.
    await client.call(0, Buffer.alloc(0), { xid: 0x7000_0000 + random(0x1000_0000) }).catch(() => client.closed());
    client.records.length = 0;
  };
  for (let i = 0; i < 50; i++) await sendBatch(100);
  const { heapUsed, external } = process.memoryUsage();
  for (let i = 0; i < 250; i++) await sendBatch(100);
  const after = process.memoryUsage();
  t.true(after.external - external < 64 << 20, `seed ${seed}: ${external} to ${after.external} bytes outside the heap`);
  t.true(after.heapUsed - heapUsed < 128 << 20, `seed ${seed}`);
  t.true(exported.counters.requests > 10_000);
  t.is((await first.call(nfs.fsinfo, encode().opaque(root))).u32(), 0);
});

test("2,000 streams of noise only close their connections", async (t) => {
  const random = createRandom(Math.floor(Math.random() * 2 ** 32));
  const { client, connect } = await serveModel(t);
  const streams = Array.from({ length: 2000 }, () => {
    const noise = Buffer.from(Array.from({ length: 1 + random(200) }, () => random(256)));
    // Half of them with a believable record mark.
    return random(2) === 0 ? noise : mark(noise);
  });
  for (let i = 0; i < streams.length; i += 50) {
    const opened = await Promise.all(streams.slice(i, i + 50).map(() => connect()));
    opened.forEach((one, j) => {
      one.send(streams[i + j]);
    });
    await client.call(0).catch(() => {});
    for (const one of opened) one.close();
  }
  const last = await connect();
  t.is((await last.call(0)).left, 0);
});
