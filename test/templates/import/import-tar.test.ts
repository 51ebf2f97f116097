import { execFileSync } from "node:child_process";
import { gzipSync, zstdCompressSync } from "node:zlib";
import test from "ava";
import { importTar } from "../../../templates/import/import-tar.ts";
import { at, MemorySink } from "./memory-sink.ts";
import { endMark, inParts, packTar, padded, paxHeader, rawHeader } from "./pack.ts";

async function importBytes(bytes: Buffer, options = {}) {
  const sink = new MemorySink();
  return { sink, root: await importTar(inParts(bytes), sink, options) };
}

test("keeps types, permissions, owners, times, targets and device numbers", async (t) => {
  const { root, sink } = await importBytes(
    await packTar([
      { name: "./", type: "directory", mode: 0o750, uid: 3 },
      { name: "bin/", type: "directory", mode: 0o755 },
      { name: "bin/su", mode: 0o4755, uid: 1, gid: 2, mtime: new Date(5000), content: "x".repeat(3000) },
      { name: "bin/link", type: "symlink", linkname: "/etc/su" },
      { name: "bin/sudo", type: "link", linkname: "bin/su" },
      { name: "null", type: "character-device", devmajor: 1, devminor: 3, mode: 0o666 },
      { name: "disk", type: "block-device", devmajor: 8, devminor: 1 },
      { name: "pipe", type: "fifo" },
      { name: "empty" },
    ]),
  );
  t.like(root, { mode: 0o40750, uid: 3 });
  const su = at(root, "bin/su");
  t.like(su, { mode: 0o104755, uid: 1, gid: 2, size: 3000, modified: { seconds: 5, nanoseconds: 0 } });
  t.is(sink.read(su).toString(), "x".repeat(3000));
  t.is(at(root, "bin/sudo"), su);
  t.is(at(root, "bin/link").target, "/etc/su");
  t.like(at(root, "null"), { mode: 0o20666, deviceMajor: 1, deviceMinor: 3 });
  t.like(at(root, "disk"), { mode: 0o60644, deviceMajor: 8, deviceMinor: 1 });
  t.is(at(root, "pipe").mode, 0o10644);
  t.deepEqual(at(root, "empty").pieces, []);
});

test("extended headers overrule: names, sizes, owners, nanoseconds before 1970, binary attributes", async (t) => {
  const capability = Buffer.from("0100000280000000000000000000000000000000", "hex");
  const long = `${"d".repeat(200)}/${"f".repeat(200)}`;
  const { root, sink } = await importBytes(
    Buffer.concat([
      paxHeader({ gid: "77" }, "g"),
      paxHeader({
        path: long,
        size: "5",
        uid: "3000000000",
        mtime: "-1.25",
        "SCHILY.xattr.security.capability": capability,
        "SCHILY.xattr.user.empty": "",
      }),
      rawHeader("short", "0", 0),
      padded("hello"),
      rawHeader("next", "0", 0),
      endMark,
    ]),
  );
  const file = at(root, long);
  t.like(file, { size: 5, uid: 3000000000, gid: 77, modified: { seconds: -2, nanoseconds: 750_000_000 } });
  t.is(sink.read(file).toString(), "hello");
  t.deepEqual(
    [...file.attributes],
    [
      ["security.capability", capability],
      ["user.empty", Buffer.alloc(0)],
    ],
  );
  t.like(at(root, "next"), { uid: 0, gid: 77 });
});

test("GNU's long names and base-256 numbers are read, and names that are not UTF-8", async (t) => {
  const long = "n".repeat(150);
  const size = Buffer.from([0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3]);
  const { root } = await importBytes(
    Buffer.concat([
      rawHeader("././@LongLink", "L", 151),
      padded(`${long}\0`),
      rawHeader("././@LongLink", "K", 121),
      padded(`${"t".repeat(120)}\0`),
      rawHeader("cut", "2", 0),
      rawHeader("\xff\xfe", "0", 0, { 124: size }),
      padded("abc"),
      endMark,
    ]),
  );
  t.is(at(root, long).target, "t".repeat(120));
  t.is(at(root, "\xff\xfe").size, 3);
});

test("compression is told from the bytes: gzip, zstd, xz", async (t) => {
  const tar = await packTar([{ name: "a", content: "content" }]);
  const xz = execFileSync("xz", ["--stdout"], { input: tar });
  for (const bytes of [tar, gzipSync(tar), zstdCompressSync(tar), xz]) {
    const { root, sink } = await importBytes(bytes);
    t.is(sink.read(at(root, "a")).toString(), "content");
    if (bytes !== tar) {
      const cut = importBytes(bytes.subarray(0, bytes.length - 20));
      await t.throwsAsync(cut, { code: "tar-refused" });
    }
  }
  await t.throwsAsync(importBytes(Buffer.from("BZh91AY&SY")), { code: "tar-refused", message: /bzip2/ });
});

test("a member below a link inside goes where the link leads", async (t) => {
  const { root } = await importBytes(
    await packTar([
      { name: "usr/lib", type: "directory" },
      { name: "lib", type: "symlink", linkname: "usr/./lib" },
      { name: "usr/share", type: "symlink", linkname: "../lib" },
      { name: "lib/a", content: "1" },
      { name: "usr/share/b", content: "2" },
    ]),
  );
  t.deepEqual([...at(root, "usr/lib").children!.keys()], ["a", "b"]);
});

test("a directory may come again, with other metadata", async (t) => {
  const { root } = await importBytes(
    await packTar([
      { name: "d/a" },
      { name: "d", type: "directory", mode: 0o700 },
      { name: "d/b" },
      { name: "d/", type: "directory", mode: 0o711 },
    ]),
  );
  t.is(at(root, "d").mode, 0o40711);
  t.is(at(root, "d").children!.size, 2);
});

test("OCI whiteouts hide names and directories, where they are asked for", async (t) => {
  const layer = await packTar([{ name: "etc/.wh.old" }, { name: "var/.wh..wh..opq" }, { name: "var/new" }]);
  const { root } = await importBytes(layer, { ociWhiteouts: true });
  t.is(at(root, "etc").children!.get("old"), "whiteout");
  t.is(at(root, "var").opaque, true);
  t.deepEqual([...at(root, "var").children!.keys()], ["new"]);
  const plain = await importBytes(layer);
  t.is(at(plain.root, "etc/.wh.old").size, 0);
});

test("an aborted import stops", async (t) => {
  const bytes = await packTar([{ name: "a" }, { name: "b" }]);
  await t.throwsAsync(importBytes(bytes, { signal: AbortSignal.abort() }), { name: "AbortError" });
});

test("progress counts files and bytes", async (t) => {
  const bytes = await packTar([
    { name: "a", content: "12" },
    { name: "b", content: "345" },
  ]);
  const seen: unknown[] = [];
  await importBytes(bytes, { onProgress: (progress: unknown) => seen.push(progress) });
  t.deepEqual(seen.at(-1), { step: "done", files: 2, bytes: 5 });
});

test("of files that are to be replaced the sink sees nothing, and what comes after them is read right", async (t) => {
  const secret = "nameserver 10.0.0.1\n".repeat(200);
  const archive = await packTar([
    { name: "./etc/resolv.conf", content: secret },
    { name: "./etc/motd", content: "hello" },
  ]);
  const seen: string[] = [];
  const sink = new MemorySink();
  const watched = {
    addContent: async (content: Buffer | AsyncIterable<Buffer>) => {
      const pieces = await sink.addContent(content);
      seen.push(...pieces.map(({ length }) => `${length} bytes`));
      return pieces;
    },
  };
  const root = await importTar(inParts(archive), watched, { replaced: new Set(["etc/resolv.conf"]) });
  t.deepEqual(seen, ["5 bytes"]);
  t.is(at(root, "etc/resolv.conf").size, 0);
  t.is(sink.read(at(root, "etc/motd")).toString(), "hello");
});
