import { deepEqual, equal } from "node:assert/strict";
import { exactSize } from "../../../cowfs/file-system.ts";
import { toOffset } from "../../../cowfs/offsets.ts";
import { alice, bob, capability, carol, type Rule, root } from "./world.ts";

/** 8 EiB - 1: the largest off_t. */
const most = 2n ** 63n - 1n;
/** Where sizes become bigints. */
const large = 2n ** 53n;
// Reads near the end name their length: one that would reach beyond every off_t is EINVAL to the kernel.

export const contentRules: readonly Rule[] = [
  [
    "what was written is read, up to the end and no further",
    (w) => {
      const file = w.file({ content: "hello" });
      equal(w.content(file, 1, 3), "ell");
      equal(w.content(file, 3), "lo");
      equal(w.content(file, 5), "");
      equal(w.content(file, 500), "");
      w.does((fs) => fs.write(alice, file, 3, Buffer.from("p me")));
      equal(w.content(file), "help me");
    },
  ],
  [
    "a gap reads as zeros",
    (w) => {
      const file = w.file({ content: "a" });
      w.does((fs) => fs.write(alice, file, 9000, Buffer.from("b")));
      equal(w.attributes(file).size, 9001);
      equal(w.content(file, 0, 10_000), `a${"\0".repeat(8999)}b`);
    },
  ],
  [
    "what a shorter length cut off does not come back",
    (w) => {
      const file = w.file({ content: "hello" });
      w.does((fs) => fs.setAttributes(alice, file, { size: 2 }));
      w.does((fs) => fs.setAttributes(alice, file, { size: 4 }));
      equal(w.content(file), "he\0\0");
      w.does((fs) => fs.setAttributes(alice, file, { size: 0 }));
      w.does((fs) => fs.write(alice, file, 3, Buffer.from("x")));
      equal(w.content(file), "\0\0\0x");
    },
  ],
  [
    "a read goes where it is told in the buffer and touches nothing else",
    (w) => {
      const buffer = Buffer.from("........");
      equal(w.fs.read(root, w.file({ content: "abc" }), 0, 100, buffer, 2), 3);
      equal(buffer.toString(), "..abc...");
    },
  ],
  [
    "a caller's buffer is its own again after the write",
    (w) => {
      const file = w.file();
      const data = Buffer.from("mine");
      w.does((fs) => fs.write(alice, file, 0, data));
      data.fill("!");
      equal(w.content(file), "mine");
    },
  ],
  [
    "files reach up to 8 EiB - 1",
    (w) => {
      const file = w.file({ content: "start" });
      w.does((fs) => fs.setAttributes(alice, file, { size: most }));
      equal(exactSize(w.attributes(file)), most);
      w.does((fs) => fs.write(alice, file, most - 2n, Buffer.from("xy")));
      equal(w.content(file, most - 3n, 3), "\0xy");
      equal(w.content(file, 0, 7), "start\0\0");
      w.does((fs) => fs.setAttributes(alice, file, { mode: 0o600 }));
      w.does((fs) => fs.write(alice, file, 1, Buffer.from("T")));
      equal(exactSize(w.attributes(file)), most);
      w.does((fs) => fs.setAttributes(alice, file, { size: most - 1n }));
      w.does((fs) => fs.setAttributes(alice, file, { size: most }));
      equal(w.content(file, most - 3n, 3), "\0x\0");
      w.does((fs) => fs.setAttributes(alice, file, { size: 3 }));
      equal(exactSize(w.attributes(file)), 3);
      equal(w.content(file), "sTa");
      w.does((fs) => fs.setAttributes(alice, file, { size: most }));
      equal(w.content(file, most - 3n, 3), "\0\0\0");
      w.does((fs) => fs.setAttributes(alice, file, { size: 0 }));
    },
  ],
  [
    "a write extends a file as far",
    (w) => {
      const file = w.file();
      w.does((fs) => fs.write(alice, file, most - 1n, Buffer.from("z")));
      equal(exactSize(w.attributes(file)), most);
      equal(w.content(file, most - 5n, 5), "\0\0\0\0z");
      w.does((fs) => fs.setAttributes(alice, file, { size: 0 }));
    },
  ],
  [
    "where sizes need more than 53 bits nothing is lost or moved",
    (w) => {
      const file = w.file();
      for (const edge of [large, 3n * 2n ** 52n, 2n ** 60n]) {
        w.does((fs) => fs.write(alice, file, toOffset(edge - 3n), Buffer.from("abcdef")));
        equal(exactSize(w.attributes(file)), edge + 3n);
        equal(w.content(file, toOffset(edge - 4n), 6), "\0abcde");
        equal(w.content(file, edge), "def");
        equal(w.content(file, edge + 2n), "f");
        equal(w.content(file, edge + 3n), "");
        w.does((fs) => fs.write(alice, file, toOffset(edge - 1n), Buffer.from("CD")));
        equal(w.content(file, toOffset(edge - 3n)), "abCDef");
        w.does((fs) => fs.setAttributes(alice, file, { size: toOffset(edge - 1n) }));
        equal(exactSize(w.attributes(file)), toOffset(edge - 1n));
        w.does((fs) => fs.setAttributes(alice, file, { size: edge + 9n }));
        equal(w.content(file, toOffset(edge - 3n)), `ab${"\0".repeat(10)}`);
      }
      w.does((fs) => fs.setAttributes(alice, file, { size: 0 }));
    },
  ],
  [
    "and no further",
    (w) => {
      const file = w.file();
      w.refuses("EFBIG", (fs) => fs.setAttributes(alice, file, { size: most + 1n }));
      w.refuses("EFBIG", (fs) => fs.write(alice, file, most - 1n, Buffer.from("xy")));
      w.refuses("EFBIG", (fs) => fs.write(alice, file, most, Buffer.from("x")));
      equal(w.content(file, most), "");
      equal(w.attributes(file).size, 0);
    },
  ],
  [
    "no size is negative",
    (w) => {
      const file = w.file();
      w.refuses("EINVAL", (fs) => fs.setAttributes(alice, file, { size: -1 }));
    },
  ],
  [
    "truncating needs write permission, or owning the file",
    (w) => {
      const file = w.file({ mode: 0o464, gid: 2000, content: "abc" });
      w.refuses("EACCES", (fs) => fs.setAttributes(carol, file, { size: 0 }));
      w.does((fs) => fs.setAttributes(bob, file, { size: 1 }));
      w.does((fs) => fs.setAttributes(alice, file, { size: 2 }));
      equal(w.content(file), "a\0");
    },
  ],
  [
    "truncating to the same length is a change all the same",
    async (w) => {
      const file = w.file({ content: "abc" });
      const before = w.attributes(file);
      await w.later();
      w.does((fs) => fs.setAttributes(alice, file, { size: 3 }));
      const after = w.attributes(file);
      deepEqual([after.modified === before.modified, after.modified], [false, after.changed]);
    },
  ],
  [
    "only files have content",
    (w) => {
      const fifo = w.fifo();
      const data = Buffer.from("x");
      w.refuses("EISDIR", (fs) => fs.read(root, w.top, 0, 1, data, 0));
      w.refuses("EISDIR", (fs) => fs.write(root, w.top, 0, data));
      w.refuses("EISDIR", (fs) => fs.setAttributes(root, w.top, { size: 0 }));
      w.refuses("EINVAL", (fs) => fs.read(root, fifo, 0, 1, data, 0));
      w.refuses("EINVAL", (fs) => fs.write(root, fifo, 0, data));
      w.refuses("EINVAL", (fs) => fs.setAttributes(root, fifo, { size: 0 }));
    },
  ],
  [
    "a write by anyone but root takes set-ID bits, and so does a truncation",
    (w) => {
      for (const [mode, left] of [
        [0o6777, 0o777],
        [0o4777, 0o777],
        [0o2766, 0o766],
      ]) {
        const written = w.file({ mode, gid: 3000 });
        w.does((fs) => fs.write(carol, written, 0, Buffer.from("x")));
        equal(w.mode(written), left);
        const cut = w.file({ mode, gid: 3000 });
        w.does((fs) => fs.setAttributes(carol, cut, { size: 1 }));
        equal(w.mode(cut), left);
        const kept = w.file({ mode, gid: 3000 });
        w.does((fs) => fs.write(root, kept, 0, Buffer.from("x")));
        equal(w.mode(kept), mode);
      }
    },
  ],
  [
    "set-group-ID without group execute stays for a member of the group",
    (w) => {
      const file = w.file({ mode: 0o2664, gid: 2000 });
      w.does((fs) => fs.write(bob, file, 0, Buffer.from("x")));
      equal(w.mode(file), 0o2664);
    },
  ],
  [
    "a write takes file capabilities, even root's",
    (w) => {
      const file = w.file();
      w.does((fs) => fs.setExtendedAttribute(root, file, "security.capability", capability, "any"));
      w.does((fs) => fs.write(root, file, 0, Buffer.from("x")));
      equal(w.fs.listExtendedAttributes(root, file).length, 0);
    },
  ],
];
