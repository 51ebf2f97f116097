import { equal } from "node:assert/strict";
import { Access, type Caller } from "../../../cowfs/file-system.ts";
import { alice, bob, carol, type Rule, root } from "./world.ts";

const all = 0x3f;
const writes = Access.modify | Access.extend;
const fileAccess: readonly (readonly [mode: number, caller: Caller, granted: number])[] = [
  [0o400, alice, Access.read],
  [0o200, alice, writes],
  [0o100, alice, Access.execute],
  // The classes do not add up: the owner is refused what all others may.
  [0o077, alice, 0],
  [0o040, bob, Access.read],
  [0o707, bob, 0],
  [0o770, carol, 0],
  [0o006, carol, Access.read | writes],
  [0o000, root, Access.read | writes],
  [0o001, root, Access.read | writes | Access.execute],
];

export const accessRules: readonly Rule[] = [
  ...fileAccess.map(
    ([mode, caller, granted]): Rule => [
      `uid ${caller.uid} has ${granted.toString(2)} of a file of mode ${mode.toString(8)}`,
      (w) => {
        const file = w.file({ mode, gid: 2000 });
        equal(w.fs.access(caller, file, all), granted);
        equal(w.fs.access(caller, file, Access.read), granted & Access.read);
      },
    ],
  ),
  [
    "a directory is looked up in and deleted from, not executed",
    (w) => {
      const directory = w.directory({ mode: 0o700 });
      equal(w.fs.access(alice, directory, all), Access.read | writes | Access.delete | Access.lookup);
      equal(w.fs.access(carol, directory, all), 0);
    },
  ],
  [
    "looking up needs search permission and nothing else",
    (w) => {
      const directory = w.directory({ mode: 0o711 });
      const file = w.file({ in: directory, name: "file" });
      equal(w.fs.lookup(carol, directory, "file"), file);
      const closed = w.directory({ mode: 0o766 });
      w.refuses("EACCES", (fs) => fs.lookup(carol, closed, "file"));
      w.refuses("EACCES", (fs) => fs.lookup(carol, closed, "."));
    },
  ],
  [
    "reading needs read or execute permission, or owning the file",
    (w) => {
      const read = (caller: Caller, mode: number) =>
        w.fs.read(caller, w.file({ mode, content: "abc" }), 0, 3, Buffer.alloc(3), 0);
      equal(read(carol, 0o004), 3);
      equal(read(carol, 0o001), 3);
      equal(read(alice, 0o000), 3);
      equal(read(root, 0o000), 3);
      const closed = w.file({ mode: 0o770 });
      w.refuses("EACCES", (fs) => fs.read(carol, closed, 0, 3, Buffer.alloc(3), 0));
    },
  ],
  [
    "writing needs write permission, or owning the file",
    (w) => {
      const data = Buffer.from("x");
      const file = w.file({ mode: 0o400 });
      w.refuses("EACCES", (fs) => fs.write(carol, file, 0, data));
      w.does((fs) => fs.write(alice, file, 0, data));
      const shared = w.file({ mode: 0o002 });
      w.does((fs) => fs.write(carol, shared, 0, data));
    },
  ],
  [
    "listing needs read permission",
    (w) => {
      const directory = w.directory({ mode: 0o711 });
      w.refuses("EACCES", (fs) => fs.list(carol, directory, 0, 10));
      equal(w.fs.list(alice, directory, 0, 10).length, 0);
    },
  ],
  [
    "anyone reads a link's target, and only a link's",
    (w) => {
      equal(w.fs.readLink(carol, w.symlink("some/where")), "some/where");
      w.refuses("EINVAL", (fs) => fs.readLink(root, w.top));
    },
  ],
  [
    "the root is its own parent, and dots find their way",
    (w) => {
      equal(w.fs.lookup(root, w.top, ".."), w.top);
      equal(w.fs.lookup(root, w.top, "."), w.top);
      const directory = w.directory();
      equal(w.fs.lookup(root, w.directory({ in: directory, name: "below" }), ".."), directory);
    },
  ],
  [
    "a file has no entries",
    (w) => {
      const file = w.file();
      w.refuses("ENOTDIR", (fs) => fs.lookup(root, file, "name"));
      w.refuses("ENOTDIR", (fs) => fs.lookup(root, file, "."));
      w.refuses("ENOTDIR", (fs) => fs.list(root, file, 0, 10));
    },
  ],
];
