import { deepEqual, equal, notDeepEqual } from "node:assert/strict";
import { alice, bob, carol, type Rule, root } from "./world.ts";

const year1969 = { seconds: -5, nanoseconds: 999_999_999 };
const year2001 = { seconds: 1_000_000_000, nanoseconds: 7 };
const year2500 = { seconds: 16_725_225_600, nanoseconds: 1 };

export const timeRules: readonly Rule[] = [
  [
    "any second before or after 1970 keeps its nanoseconds",
    (w) => {
      const file = w.file();
      w.does((fs) => fs.setAttributes(alice, file, { accessed: year1969, modified: year2500 }));
      deepEqual(w.attributes(file).accessed, year1969);
      deepEqual(w.attributes(file).modified, year2500);
    },
  ],
  [
    "setting one leaves the other and moves ctime",
    async (w) => {
      const file = w.file({ modified: year2001 });
      const before = w.attributes(file);
      await w.later();
      w.does((fs) => fs.setAttributes(alice, file, { accessed: year2001 }));
      deepEqual(w.attributes(file).modified, year2001);
      notDeepEqual(w.attributes(file).changed, before.changed);
    },
  ],
  [
    "only the owner sets a time of its choice",
    (w) => {
      const file = w.file({ mode: 0o666 });
      w.refuses("EPERM", (fs) => fs.setAttributes(carol, file, { modified: year1969 }));
      w.does((fs) => fs.setAttributes(root, file, { modified: year1969 }));
    },
  ],
  [
    "who may write may set the time to now",
    async (w) => {
      const file = w.file({ mode: 0o664, gid: 2000, modified: year1969, accessed: year1969 });
      w.does((fs) => fs.setAttributes(bob, file, { accessed: "now", modified: "now" }));
      const after = w.attributes(file);
      deepEqual([after.accessed, after.modified], [after.changed, after.changed]);
      w.refuses("EACCES", (fs) => fs.setAttributes(carol, file, { accessed: "now", modified: "now" }));
    },
  ],
  [
    "a billion nanoseconds are no time",
    (w) => {
      for (const nanoseconds of [1e9, -1, 0.5]) {
        w.refuses("EINVAL", (fs) => fs.setAttributes(root, w.top, { modified: { seconds: 0, nanoseconds } }));
      }
    },
  ],
  [
    "what is made has one time, and so has the directory it is made in",
    async (w) => {
      const directory = w.directory();
      await w.later();
      const file = w.file({ in: directory });
      const { accessed, modified, changed } = w.attributes(file);
      deepEqual([accessed, modified], [changed, changed]);
      const parent = w.attributes(directory);
      equal(parent.changed.seconds >= changed.seconds, true);
      deepEqual(parent.modified, parent.changed);
    },
  ],
  [
    "writing moves mtime and ctime, reading moves none",
    async (w) => {
      const file = w.file({ content: "abc", accessed: year1969 });
      w.does((fs) => fs.setAttributes(root, file, { modified: year1969 }));
      const before = w.attributes(file);
      w.content(file);
      deepEqual(w.attributes(file), before);
      await w.later();
      w.does((fs) => fs.write(alice, file, 0, Buffer.alloc(0)));
      deepEqual(w.attributes(file), before);
      w.does((fs) => fs.write(alice, file, 0, Buffer.from("x")));
      const after = w.attributes(file);
      notDeepEqual(after.modified, before.modified);
      notDeepEqual(after.changed, before.changed);
      deepEqual(after.accessed, before.accessed);
    },
  ],
  [
    "a change of nothing changes nothing",
    async (w) => {
      const file = w.file();
      const before = w.attributes(file);
      await w.later();
      w.does((fs) => fs.setAttributes(alice, file, {}));
      deepEqual(w.attributes(file), before);
    },
  ],
];
