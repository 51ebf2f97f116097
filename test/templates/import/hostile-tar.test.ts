import { gzipSync } from "node:zlib";
import test from "ava";
import { XenoError } from "../../../cowfs/errors.ts";
import { importTar } from "../../../templates/import/import-tar.ts";
import fc from "../../property.ts";
import { MemorySink } from "./memory-sink.ts";
import { endMark, inParts, type Member, packTar, padded, paxHeader, rawHeader } from "./pack.ts";

const link = (name: string, linkname: string): Member => ({ name, type: "symlink", linkname });
const hardLink = (name: string, linkname: string): Member => ({ name, type: "link", linkname });

const refusedMembers: [name: string, members: Member[], message: RegExp][] = [
  ["a name with ..", [{ name: "a/../../etc/passwd" }], /^a\/\.\.\/\.\.\/etc\/passwd: its name holds `\.\.`/],
  ["an absolute name", [{ name: "/etc/passwd" }], /^\/etc\/passwd: its name is absolute/],
  ["a member below an absolute link", [link("out", "/etc"), { name: "out/passwd" }], /^out\/passwd: .*leads out/],
  [
    "a member below a link that climbs out",
    [link("d/out", "../../etc"), { name: "d/out/x" }],
    /^d\/out\/x: .*leads out/,
  ],
  ["a member below links in a circle", [link("a", "b"), link("b", "a"), { name: "a/x" }], /^a\/x: .*too many/],
  ["a file given twice", [{ name: "a" }, { name: "./a" }], /^\.\/a: there is another member of that name/],
  ["a link over a directory", [{ name: "a/b" }, link("a", "/etc")], /^a: there is another/],
  ["a directory over a link", [link("a", "/etc"), { name: "a", type: "directory" }], /^a: there is another/],
  ["a hard link to nothing", [hardLink("a", "gone")], /^a: it is a hard link to a member that is not there/],
  ["a hard link to a later member", [hardLink("a", "b"), { name: "b" }], /^a: .*not there/],
  ["a hard link to itself", [hardLink("a", "a")], /^a: .*not there/],
  ["a hard link out", [hardLink("a", "../etc/shadow")], /^a: its name holds/],
  ["a hard link through a link that leads out", [link("o", "/etc"), hardLink("a", "o/shadow")], /^a: .*leads out/],
  ["a hard link to a directory", [{ name: "d", type: "directory" }, hardLink("a", "d")], /^a: .*to a directory/],
  ["a member below a file", [{ name: "f" }, { name: "f/x" }], /^f\/x: it lies below something/],
  ["a name with a part too long", [{ name: `d/${"x".repeat(256)}` }], /longer than 255 bytes/],
  ["a name too long", [{ name: `${"d/".repeat(2048)}x` }], /longer than 4096 bytes/],
  ["a target too long", [link("a", "x".repeat(4096))], /its target is longer than 4095 bytes/],
  ["a link to nothing", [link("a", "")], /^a: it links to nothing/],
];

for (const [name, members, message] of refusedMembers) {
  test(`refuses ${name}`, async (t) => {
    const source = inParts(await packTar(members));
    await t.throwsAsync(importTar(source, new MemorySink()), { code: "tar-refused", message });
  });
}

const refusedBytes: [name: string, bytes: Buffer[], message: RegExp][] = [
  ["nothing", [], /^the archive's first member: .*cut off/],
  ["text", [padded("hello ".repeat(200))], /checksum|not a number/],
  ["an archive without its end mark", [rawHeader("a", "0", 0)], /^what follows a: .*cut off/],
  ["an archive that ends within content", [rawHeader("a", "0", 2000), padded("x")], /^a: .*cut off/],
  ["an archive that ends within a header", [rawHeader("a", "0", 0), Buffer.alloc(100)], /cut off/],
  ["a type that is not understood", [rawHeader("a", "S", 0), endMark], /^a: members of type "S"/],
  ["a header of many bytes", [rawHeader("a", "x", 2 ** 30), endMark], /^a: its extended header has 1073741824/],
  ["a damaged extended header", [rawHeader("a", "x", 9), padded("99 path=b"), endMark], /extended header is damaged/],
  ["a name with NUL", [paxHeader({ path: "a\0b" }), rawHeader("a", "0", 0), endMark], /NUL/],
  ["a size that is no number", [paxHeader({ size: "-1" }), rawHeader("a", "0", 0), endMark], /size is not a number/],
  ["a negative size", [rawHeader("a", "0", 0, { 124: Buffer.alloc(12, 0xff) }), endMark], /size is negative/],
  ["an owner of 33 bits", [paxHeader({ uid: "4294967296" }), rawHeader("a", "0", 0), endMark], /owner .* out of range/],
  ["a sparse file", [paxHeader({ "GNU.sparse.major": "1" }), rawHeader("a", "0", 0), endMark], /--sparse/],
  ["a name to fool a terminal", [rawHeader("a\x1b[2J/..", "0", 0), endMark], /^a\?\[2J\/\.\.: /],
];

for (const [name, bytes, message] of refusedBytes) {
  test(`refuses ${name}`, async (t) => {
    const source = inParts(Buffer.concat(bytes));
    await t.throwsAsync(importTar(source, new MemorySink()), { code: "tar-refused", message });
  });
}

test("a bomb is stopped at the bound, whatever it is made of", async (t) => {
  const zeros = Buffer.alloc(64 * 2 ** 20);
  const bombs = {
    content: [rawHeader("bomb", "0", zeros.length), zeros, endMark],
    skipped: [rawHeader("bomb", "1", zeros.length, { 157: "x" }), zeros, endMark],
    trailing: [rawHeader("bomb", "0", 0), endMark, zeros],
  };
  for (const [name, bytes] of Object.entries(bombs)) {
    let passed = 0;
    const sink = new MemorySink();
    const original = sink.addContent.bind(sink);
    sink.addContent = async (content) => {
      const pieces = await original(content);
      passed += pieces.reduce((sum, { length }) => sum + length, 0);
      return pieces;
    };
    const importing = importTar(inParts(gzipSync(Buffer.concat(bytes))), sink, { maxBytes: 2 ** 20 });
    await t.throwsAsync(importing, { code: "tar-refused" }, name);
    t.true(passed <= 2 ** 20);
  }
  const many = inParts(await packTar(Array.from({ length: 20 }, (_, i) => ({ name: `f${i}` }))));
  const importing = importTar(many, new MemorySink(), { maxMembers: 10 });
  await t.throwsAsync(importing, { code: "tar-refused", message: /^f10: .*more than 10 members/ });
});

test("whatever bytes are changed or cut, the archive is read or refused, and never anything else", async (t) => {
  const archive = Buffer.concat([
    paxHeader({ path: "long/name", "SCHILY.xattr.user.a": "b" }),
    rawHeader("a", "0", 5),
    padded("hello"),
    rawHeader("d/", "5", 0),
    rawHeader("l", "2", 0, { 157: "d" }),
    rawHeader("l/h", "1", 0, { 157: "long/name" }),
    endMark,
  ]);
  const change = fc.record({ at: fc.nat(archive.length - 1), byte: fc.integer({ min: 0, max: 255 }) });
  await fc.assert(
    fc.asyncProperty(
      fc.array(change, { maxLength: 4 }),
      fc.nat(archive.length),
      fc.integer({ min: 1, max: 3000 }),
      async (changes, end, part) => {
        const bytes = Buffer.from(archive);
        for (const { at, byte } of changes) bytes[at] = byte;
        try {
          await importTar(inParts(bytes.subarray(0, end), part), new MemorySink());
        } catch (error) {
          if (!(error instanceof XenoError && error.code === "tar-refused")) throw error;
        }
      },
    ),
    { numRuns: 300 },
  );
  t.pass();
});
