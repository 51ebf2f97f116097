import { deepEqual, equal } from "node:assert/strict";
import { alice, bob, carol, type Rule, root, tooLongName } from "./world.ts";

export const unlinkRules: readonly Rule[] = [
  [
    "the last name takes the inode along",
    (w) => {
      const file = w.file({ name: "f" });
      w.does((fs) => fs.removeFile(root, w.top, "f"));
      w.refuses("ENOENT", (fs) => fs.lookup(root, w.top, "f"));
      w.refuses("ESTALE", (fs) => fs.getAttributes(file));
    },
  ],
  [
    "a file that is open lives on without a name, until the last release",
    (w) => {
      const file = w.file({ name: "f", content: "abc" });
      w.fs.retain(file);
      w.fs.retain(file);
      w.does((fs) => fs.removeFile(root, w.top, "f"));
      equal(w.attributes(file).links, 0);
      w.does((fs) => fs.write(alice, file, 3, Buffer.from("d")));
      w.fs.release(file);
      equal(w.content(file), "abcd");
      w.fs.release(file);
      w.refuses("ESTALE", (fs) => fs.getAttributes(file));
    },
  ],
  [
    "it needs write and search permission on the directory, none on the file",
    (w) => {
      const directory = w.directory({ mode: 0o733 });
      w.file({ in: directory, name: "f", mode: 0 });
      w.does((fs) => fs.removeFile(carol, directory, "f"));
      const closed = w.directory({ mode: 0o755 });
      w.file({ in: closed, name: "f", mode: 0o666 });
      w.refuses("EACCES", (fs) => fs.removeFile(carol, closed, "f"));
      w.refuses("ENOENT", (fs) => fs.removeFile(carol, closed, "g"));
    },
  ],
  [
    "in a sticky directory only the owner of either removes",
    (w) => {
      const sticky = w.directory({ mode: 0o1777, uid: bob.uid });
      const names = ["a", "b", "c"];
      for (const name of names) w.file({ in: sticky, name, mode: 0o666 });
      for (const name of names) w.directory({ in: sticky, name: `${name}-directory` });
      w.refuses("EPERM", (fs) => fs.removeFile(carol, sticky, "a"));
      w.refuses("EPERM", (fs) => fs.removeDirectory(carol, sticky, "a-directory"));
      for (const [index, caller] of [alice, bob, root].entries()) {
        w.does((fs) => fs.removeFile(caller, sticky, names[index]));
        w.does((fs) => fs.removeDirectory(caller, sticky, `${names[index]}-directory`));
      }
      deepEqual(w.names(sticky), []);
    },
  ],
  [
    "unlink takes no directories, rmdir nothing else",
    (w) => {
      w.directory({ name: "d" });
      w.file({ name: "f" });
      w.symlink("d", w.top, "l");
      w.refuses("EISDIR", (fs) => fs.removeFile(root, w.top, "d"));
      w.refuses("ENOTDIR", (fs) => fs.removeDirectory(root, w.top, "f"));
      w.refuses("ENOTDIR", (fs) => fs.removeDirectory(root, w.top, "l"));
      w.does((fs) => fs.removeFile(root, w.top, "l"));
    },
  ],
  [
    "dots are no names to remove",
    (w) => {
      const directory = w.directory();
      for (const name of [".", ".."]) w.refuses("EISDIR", (fs) => fs.removeFile(root, directory, name));
      w.refuses("EINVAL", (fs) => fs.removeDirectory(root, directory, "."));
      w.refuses("ENOTEMPTY", (fs) => fs.removeDirectory(root, directory, ".."));
    },
  ],
  [
    "a directory goes when it is empty, and takes its `..` from the parent's links",
    (w) => {
      const directory = w.directory({ name: "d" });
      const below = w.directory({ in: directory, name: "below" });
      w.refuses("ENOTEMPTY", (fs) => fs.removeDirectory(root, w.top, "d"));
      const before = w.attributes(directory).links;
      w.does((fs) => fs.removeDirectory(root, directory, "below"));
      equal(w.attributes(directory).links, before - 1);
      w.refuses("ESTALE", (fs) => fs.list(root, below, 0, 1));
      w.does((fs) => fs.removeDirectory(root, w.top, "d"));
    },
  ],
  [
    "a removed directory that is open is empty and has no links",
    (w) => {
      const directory = w.directory({ name: "d" });
      w.fs.retain(directory);
      w.does((fs) => fs.removeDirectory(root, w.top, "d"));
      equal(w.attributes(directory).links, 0);
      deepEqual(w.names(directory), []);
      w.refuses("ENOENT", (fs) => fs.lookup(root, directory, "x"));
      w.fs.release(directory);
    },
  ],
  [
    "names that are none are refused as such",
    (w) => {
      w.refuses("ENAMETOOLONG", (fs) => fs.removeFile(root, w.top, tooLongName));
      w.refuses("ENAMETOOLONG", (fs) => fs.removeDirectory(root, w.top, tooLongName));
      w.refuses("EINVAL", (fs) => fs.removeFile(root, w.top, "a/b"));
      w.refuses("ENOENT", (fs) => fs.removeFile(root, w.top, "none"));
      w.refuses("ENOENT", (fs) => fs.removeDirectory(root, w.top, "none"));
    },
  ],
  [
    "the directory's times move, and the ctime of a file with another name",
    async (w) => {
      const directory = w.directory();
      const file = w.file({ in: directory, name: "f" });
      w.does((fs) => fs.link(root, file, directory, "g"));
      const before = [w.attributes(directory).modified, w.attributes(file).changed];
      await w.later();
      w.does((fs) => fs.removeFile(root, directory, "f"));
      const after = [w.attributes(directory).modified, w.attributes(file).changed];
      for (const index of [0, 1]) equal(JSON.stringify(before[index]) === JSON.stringify(after[index]), false);
    },
  ],
];
