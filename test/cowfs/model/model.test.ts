import test from "ava";
import { Fault, runWithFaults } from "../../../cowfs/fault.ts";
import type { Time } from "../../../cowfs/file-system.ts";
import { root, World } from "../posix-rules/world.ts";
import { declareFileSystemSuite } from "../posix-rules.ts";
import { createModel } from "./model.ts";

declareFileSystemSuite(test, "model", async () => createModel());

test("a read that faults is whole once the need was brought", async (t) => {
  let here = false;
  const need = {
    key: "bytes",
    bring: async () => {
      here = true;
    },
  };
  const w = new World(createModel({ faultOnRead: () => (here ? [] : [need]) }));
  const file = w.file({ content: "abc" });
  t.throws(() => w.content(file), { any: true, instanceOf: Fault as never });
  t.is(await runWithFaults(() => w.content(file), AbortSignal.timeout(60_000)), "abc");
});

test("a failing sync rejects and changes the write verifier; a failing flush throws", async (t) => {
  const refuse = () => {
    throw new Error("the disk refuses");
  };
  const fs = createModel({ onSync: refuse, onFlush: refuse });
  const before = fs.writeVerifier;
  await t.throwsAsync(fs.sync(), { message: "the disk refuses" });
  t.notDeepEqual(fs.writeVerifier, before);
  t.throws(() => fs.flush(), { message: "the disk refuses" });
});

test("ctime never runs backwards with the clock", (t) => {
  const times = [5, 9, 3, 9, 10].map((seconds): Time => ({ seconds, nanoseconds: 0 }));
  const w = new World(createModel({ clock: () => times.shift() ?? { seconds: 1, nanoseconds: 0 } }));
  const stamps = Array.from({ length: 4 }, () => w.fs.getAttributes(w.file()).changed.seconds);
  t.deepEqual(
    stamps.toSorted((a, b) => a - b),
    stamps,
  );
});

test("space and links run out with ENOSPC and EMLINK and change nothing", (t) => {
  const w = new World(createModel({ totalBytes: 8192, maxLinks: 3 }));
  const file = w.file({ content: "a".repeat(4096) });
  w.refuses("ENOSPC", (fs) => fs.write(root, file, 4096, Buffer.alloc(4097)));
  w.does((fs) => fs.write(root, file, 4096, Buffer.alloc(4096)));
  w.does((fs) => fs.link(root, file, w.top, "a"));
  w.does((fs) => fs.link(root, file, w.top, "b"));
  w.refuses("EMLINK", (fs) => fs.link(root, file, w.top, "c"));
  w.directory();
  w.refuses("EMLINK", (fs) => fs.createDirectory(root, w.top, "d", {}));
  t.pass();
});

test("changes outside a transaction and releases without a retain are a server's mistakes", (t) => {
  const fs = createModel();
  t.throws(() => fs.setAttributes(root, fs.rootId, { mode: 0o700 }), { message: /outside a transaction/ });
  t.throws(() => fs.release(fs.rootId), { message: /released more often/ });
});
