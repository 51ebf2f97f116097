import { equal } from "node:assert/strict";
import { alice, carol, longestName, type Rule, root, tooLongName } from "./world.ts";

export const linkRules: readonly Rule[] = [
  [
    "another name for the same inode",
    (w) => {
      const file = w.file({ content: "abc" });
      const directory = w.directory();
      w.does((fs) => fs.link(alice, file, directory, longestName));
      equal(w.find(directory, longestName), file);
      equal(w.attributes(file).links, 2);
      w.does((fs) => fs.removeFile(alice, directory, longestName));
      equal(w.attributes(file).links, 1);
    },
  ],
  [
    "links, fifos and devices have other names too",
    (w) => {
      for (const id of [w.symlink("x"), w.fifo()]) {
        const name = w.freshName();
        w.does((fs) => fs.link(root, id, w.top, name));
        equal(w.find(w.top, name), id);
      }
    },
  ],
  [
    "a directory has one name, even for root",
    (w) => {
      const directory = w.directory();
      w.refuses("EPERM", (fs) => fs.link(root, directory, w.top, "other"));
    },
  ],
  [
    "it needs write permission on the directory and a free name",
    (w) => {
      const file = w.file({ name: "f" });
      const directory = w.directory({ uid: carol.uid });
      // The file's owner: Linux lets nobody else link it, where fs.protected_hardlinks is set.
      w.refuses("EACCES", (fs) => fs.link(alice, file, directory, "g"));
      for (const name of ["f", ".", ".."]) w.refuses("EEXIST", (fs) => fs.link(alice, file, w.top, name));
      w.refuses("ENAMETOOLONG", (fs) => fs.link(root, file, w.top, tooLongName));
      w.refuses("ENOTDIR", (fs) => fs.link(root, file, file, "g"));
    },
  ],
  [
    "a file that lost its last name gets none again",
    (w) => {
      const file = w.file({ name: "f" });
      w.fs.retain(file);
      w.does((fs) => fs.removeFile(root, w.top, "f"));
      w.refuses("ENOENT", (fs) => fs.link(root, file, w.top, "g"));
      w.fs.release(file);
      w.refuses("ESTALE", (fs) => fs.link(root, file, w.top, "g"));
    },
  ],
  [
    "the inode's ctime moves, its mtime does not",
    async (w) => {
      const file = w.file();
      const before = w.attributes(file);
      await w.later();
      w.does((fs) => fs.link(root, file, w.top, "other"));
      const after = w.attributes(file);
      equal(JSON.stringify(after.modified), JSON.stringify(before.modified));
      equal(JSON.stringify(after.changed) === JSON.stringify(before.changed), false);
    },
  ],
];
