import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { encodeTree } from "../../../cowfs/trees/encode.ts";
import { importDirectory } from "../../../templates/import/import-directory.ts";
import { at, MemorySink } from "./memory-sink.ts";

function makeDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "import-directory-"));
  mkdirSync(join(directory, "d"));
  writeFileSync(join(directory, "d/file"), "content");
  chownSync(join(directory, "d/file"), 12, 34);
  chmodSync(join(directory, "d/file"), 0o4711);
  linkSync(join(directory, "d/file"), join(directory, "again"));
  symlinkSync("/nowhere", join(directory, "link"));
  writeFileSync(Buffer.from(`${directory}/\xff`, "latin1"), "");
  execFileSync("mknod", [join(directory, "null"), "c", "1", "3"]);
  execFileSync("mkfifo", [join(directory, "pipe")]);
  for (const path of ["d/file", "d", "null", "pipe", "."]) utimesSync(join(directory, path), 1000, 1000.5);
  return directory;
}

test("a directory becomes nodes with its hard links, devices and names of any bytes", async (t) => {
  const directory = makeDirectory();
  t.teardown(() => rmSync(directory, { recursive: true }));
  const sink = new MemorySink();
  const root = await importDirectory(directory, sink);
  const file = at(root, "d/file");
  t.like(file, { mode: 0o104711, uid: 12, gid: 34, modified: { seconds: 1000, nanoseconds: 500_000_000 } });
  t.is(sink.read(file).toString(), "content");
  t.is(at(root, "again"), file);
  t.is(at(root, "link").target, "/nowhere");
  t.is(at(root, "\xff").size, 0);
  t.like(at(root, "null"), { mode: 0o20644, deviceMajor: 1, deviceMinor: 3 });
  t.is(at(root, "pipe").mode, 0o10644);
  t.is(encodeTree(root).id, encodeTree(await importDirectory(directory, sink)).id);
});

test("what is no directory, or cannot be read to the end, is named", async (t) => {
  const directory = makeDirectory();
  t.teardown(() => rmSync(directory, { recursive: true }));
  for (const path of [join(directory, "gone"), join(directory, "again"), join(directory, "link")]) {
    const error = await t.throwsAsync(importDirectory(path, new MemorySink()), { code: "import-failed" });
    t.true(error.message.startsWith(path));
  }
});

test("a sink that refuses stops the import with its own error", async (t) => {
  const directory = makeDirectory();
  t.teardown(() => rmSync(directory, { recursive: true }));
  writeFileSync(join(directory, "large"), Buffer.alloc(5_000_000));
  const sink = { addContent: async () => Promise.reject(new Error("store full")) };
  await t.throwsAsync(importDirectory(directory, sink), { message: "store full" });
});
