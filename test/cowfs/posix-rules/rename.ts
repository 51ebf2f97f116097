import { deepEqual, equal } from "node:assert/strict";
import { alice, bob, carol, longestName, type Rule, root, tooLongName } from "./world.ts";

export const renameRules: readonly Rule[] = [
  [
    "the inode keeps its identity, its content and its links",
    (w) => {
      const file = w.file({ name: "f", content: "abc" });
      const directory = w.directory();
      w.does((fs) => fs.rename(root, w.top, "f", directory, longestName));
      equal(w.find(directory, longestName), file);
      equal(w.content(file), "abc");
      equal(w.attributes(file).links, 1);
      w.refuses("ENOENT", (fs) => fs.lookup(root, w.top, "f"));
    },
  ],
  [
    "a file takes the place of anything but a directory",
    (w) => {
      const directory = w.directory();
      for (const target of [w.file({ in: directory }), w.symlink("x", directory), w.fifo(directory)]) {
        const name = w.fs.list(root, directory, 0, 10).find((entry) => entry.id === target)!.name;
        const file = w.file({ in: directory, name: "f" });
        w.does((fs) => fs.rename(root, directory, "f", directory, name));
        equal(w.find(directory, name), file);
        w.refuses("ESTALE", (fs) => fs.getAttributes(target));
      }
      w.file({ in: directory, name: "f" });
      w.directory({ in: directory, name: "d" });
      w.refuses("EISDIR", (fs) => fs.rename(root, directory, "f", directory, "d"));
    },
  ],
  [
    "a directory takes the place of an empty directory and nothing else",
    (w) => {
      const moved = w.directory({ name: "d" });
      const full = w.directory({ name: "full" });
      w.file({ in: full });
      w.file({ name: "f" });
      w.directory({ name: "empty" });
      w.refuses("ENOTEMPTY", (fs) => fs.rename(root, w.top, "d", w.top, "full"));
      w.refuses("ENOTDIR", (fs) => fs.rename(root, w.top, "d", w.top, "f"));
      w.does((fs) => fs.rename(root, w.top, "d", w.top, "empty"));
      equal(w.find(w.top, "empty"), moved);
    },
  ],
  [
    "two names of one inode: nothing happens, and nobody is asked for permission",
    (w) => {
      const file = w.file({ name: "f" });
      w.does((fs) => fs.link(root, file, w.top, "g"));
      const before = w.dump();
      w.does((fs) => fs.rename(carol, w.top, "f", w.top, "g"));
      w.does((fs) => fs.rename(carol, w.top, "f", w.top, "f"));
      deepEqual(w.dump(), before);
    },
  ],
  [
    "a directory does not go below itself, and nothing takes the place of its own ancestor",
    (w) => {
      const d = w.directory({ name: "d" });
      const e = w.directory({ in: d, name: "e" });
      w.file({ in: e, name: "f" });
      w.refuses("EINVAL", (fs) => fs.rename(root, w.top, "d", d, "x"));
      w.refuses("EINVAL", (fs) => fs.rename(root, w.top, "d", e, "x"));
      w.refuses("EINVAL", (fs) => fs.rename(root, w.top, "d", d, "e"));
      w.refuses("ENOTEMPTY", (fs) => fs.rename(root, d, "e", w.top, "d"));
      w.refuses("ENOTEMPTY", (fs) => fs.rename(root, e, "f", w.top, "d"));
    },
  ],
  [
    "a directory that moves takes its `..` along",
    (w) => {
      const from = w.directory();
      const to = w.directory();
      const moved = w.directory({ in: from, name: "d" });
      w.does((fs) => fs.rename(root, from, "d", to, "d"));
      equal(w.find(moved, ".."), to);
      equal(w.attributes(from).links, 2);
      equal(w.attributes(to).links, 3);
      w.directory({ in: from, name: "e" });
      w.does((fs) => fs.rename(root, from, "e", to, "d"));
      equal(w.attributes(to).links, 3);
    },
  ],
  [
    "both directories must be writable and searchable",
    (w) => {
      const open = w.directory({ mode: 0o777 });
      const closed = w.directory({ mode: 0o755 });
      w.file({ in: open, name: "f" });
      w.file({ in: closed, name: "f" });
      w.refuses("EACCES", (fs) => fs.rename(carol, open, "f", closed, "g"));
      w.refuses("EACCES", (fs) => fs.rename(carol, open, "f", closed, "f"));
      w.refuses("EACCES", (fs) => fs.rename(carol, closed, "f", open, "g"));
      w.does((fs) => fs.rename(carol, open, "f", open, "g"));
    },
  ],
  [
    "a directory that changes its parent must be writable itself",
    (w) => {
      const open = w.directory({ mode: 0o777 });
      const other = w.directory({ mode: 0o777 });
      w.directory({ in: open, name: "d", mode: 0o755 });
      w.refuses("EACCES", (fs) => fs.rename(carol, open, "d", other, "d"));
      w.does((fs) => fs.rename(carol, open, "d", open, "e"));
      w.does((fs) => fs.rename(alice, open, "e", other, "d"));
    },
  ],
  [
    "the sticky bit guards what is moved and what is replaced",
    (w) => {
      const sticky = w.directory({ mode: 0o1777, uid: bob.uid });
      const open = w.directory({ mode: 0o777 });
      w.file({ in: sticky, name: "alices" });
      w.file({ in: open, name: "carols", uid: carol.uid });
      w.refuses("EPERM", (fs) => fs.rename(carol, sticky, "alices", open, "x"));
      w.refuses("EPERM", (fs) => fs.rename(carol, sticky, "alices", sticky, "x"));
      w.refuses("EPERM", (fs) => fs.rename(carol, open, "carols", sticky, "alices"));
      w.does((fs) => fs.rename(bob, open, "carols", sticky, "alices"));
    },
  ],
  [
    "dots are neither moved nor replaced",
    (w) => {
      const directory = w.directory();
      w.directory({ in: directory, name: "d" });
      for (const name of [".", ".."]) {
        w.refuses("EINVAL", (fs) => fs.rename(root, directory, name, w.top, "x"));
        w.refuses("EINVAL", (fs) => fs.rename(root, directory, "d", directory, name));
      }
    },
  ],
  [
    "what is not there is not moved; names that are none are refused",
    (w) => {
      const file = w.file({ name: "f" });
      w.refuses("ENOENT", (fs) => fs.rename(root, w.top, "none", w.top, "f"));
      w.refuses("ENAMETOOLONG", (fs) => fs.rename(root, w.top, "f", w.top, tooLongName));
      w.refuses("ENAMETOOLONG", (fs) => fs.rename(root, w.top, tooLongName, w.top, "f"));
      w.refuses("EINVAL", (fs) => fs.rename(root, w.top, "f", w.top, "a/b"));
      w.refuses("ENOTDIR", (fs) => fs.rename(root, w.top, "f", file, "g"));
      w.refuses("ENOTDIR", (fs) => fs.rename(root, file, "f", w.top, "g"));
    },
  ],
  [
    "a directory that was removed while open takes nothing in",
    (w) => {
      w.file({ name: "f" });
      const removed = w.directory({ name: "d" });
      w.fs.retain(removed);
      w.does((fs) => fs.removeDirectory(root, w.top, "d"));
      w.refuses("ENOENT", (fs) => fs.rename(root, w.top, "f", removed, "f"));
      w.fs.release(removed);
    },
  ],
  [
    "what was replaced lives on while it is open",
    (w) => {
      const replaced = w.file({ name: "f", content: "old" });
      w.file({ name: "g", content: "new" });
      w.fs.retain(replaced);
      w.does((fs) => fs.rename(root, w.top, "g", w.top, "f"));
      equal(w.content(replaced), "old");
      equal(w.content(w.find(w.top, "f")), "new");
      w.fs.release(replaced);
    },
  ],
  [
    "the ctime of what is moved and the times of both directories move",
    async (w) => {
      const [from, to] = [w.directory(), w.directory()];
      const file = w.file({ in: from, name: "f" });
      const stamps = () => [from, to, file].map((id) => JSON.stringify(w.attributes(id).changed));
      const before = stamps();
      await w.later();
      w.does((fs) => fs.rename(root, from, "f", to, "f"));
      for (const [index, stamp] of stamps().entries()) equal(stamp === before[index], false);
    },
  ],
];
