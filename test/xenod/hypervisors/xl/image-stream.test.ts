import { Readable } from "node:stream";
import test from "ava";
import { composeHead, ImageStream, readHead } from "../../../../xenod/hypervisors/xl/image-stream.ts";
import { composeStream } from "./played-stream.ts";

function composeSent(options: { configuration?: string } = {}): { xl: Buffer; libxl: Buffer } {
  const { xl, live, stopped } = composeStream(options);
  return { xl, libxl: Buffer.concat([live, stopped]) };
}

test("of what xl sends, libxl's stream goes on and the configuration does not, wherever it is cut", (t) => {
  for (const configuration of ['{"type": "pvh"}', ""]) {
    const { xl, libxl } = composeSent({ configuration });
    const sent = Buffer.concat([xl, libxl]);
    for (const size of [1, 3, 8, 47, sent.length]) {
      const stream = new ImageStream("xl");
      const out: Buffer[] = [];
      for (let at = 0; at < sent.length; at += size) {
        t.false(stream.isEnded);
        out.push(...stream.push(sent.subarray(at, at + size)));
      }
      t.true(stream.isEnded && stream.isStopped);
      t.deepEqual(Buffer.concat(out), libxl, `in pieces of ${size}`);
    }
  }
});

test("the guest has stopped when what follows its last pages is sent", (t) => {
  const { xl, libxl } = composeSent();
  const stream = new ImageStream("xl");
  stream.push(xl);
  const stop = libxl.indexOf("tsc.") - 8;
  stream.push(libxl.subarray(0, stop + 7));
  t.false(stream.isStopped);
  stream.push(libxl.subarray(stop + 7, stop + 8));
  t.true(stream.isStopped);
});

test("what is no stream of xl's, or goes on after its end, is refused", (t) => {
  const { xl, libxl } = composeSent();
  const endless = Buffer.from(xl);
  endless.writeUInt32LE(0x7fffffff, 44);
  const cases = [
    Buffer.alloc(100, "no stream"),
    Buffer.concat([xl, Buffer.alloc(16, "no stream")]),
    endless,
    Buffer.concat([xl, libxl, Buffer.from("more")]),
  ];
  for (const bytes of cases) t.throws(() => new ImageStream("xl").push(bytes), { code: "save-failed" });
});

test("an image that is cut short, goes on after its end, or is none is damaged; a whole one passes as it is", async (t) => {
  const { libxl } = composeSent();
  const pass = (...chunks: Buffer[]) => Readable.from(new ImageStream("image").pass(Readable.from(chunks))).toArray();
  t.deepEqual(Buffer.concat(await pass(libxl.subarray(0, 9), libxl.subarray(9))), libxl);
  for (const chunks of [
    [],
    [libxl.subarray(0, -1)],
    [libxl, Buffer.from("m")],
    [Buffer.concat([libxl, Buffer.from("more")])],
    [Buffer.alloc(100, "no image")],
  ])
    await t.throwsAsync(pass(...chunks), { code: "image-damaged" });
});

test("an image's head is read off, and the rest goes on", async (t) => {
  const head = { format: 1, memoryMiB: 128, cpus: 2 } as const;
  const bytes = Buffer.concat([composeHead(head), Buffer.from("the rest")]);
  for (const size of [1, 5, 1000]) {
    const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, n) =>
      bytes.subarray(n * size, (n + 1) * size),
    );
    const image = Readable.from(pieces, { objectMode: false });
    t.deepEqual(await readHead(image), head);
    t.is(Buffer.concat(await image.toArray()).toString(), "the rest");
  }
});

test("what does not begin as an image is damaged, and a stream's own error is told", async (t) => {
  for (const text of ["", "x".repeat(1000), "xeno-xl-image {}\n", "xeno-xl-image {\n", '{"format": 1}\n'])
    await t.throwsAsync(readHead(Readable.from([Buffer.from(text)], { objectMode: false })), { code: "image-damaged" });
  const broken = new Readable({
    read() {
      this.destroy(new Error("the disk is gone"));
    },
  });
  await t.throwsAsync(readHead(broken), { message: "the disk is gone" });
  // It was, before anyone read.
  await t.throwsAsync(readHead(broken), { message: "the disk is gone" });
  const closed = Readable.from([]).destroy();
  await t.throwsAsync(readHead(closed), { code: "image-damaged" });
});
