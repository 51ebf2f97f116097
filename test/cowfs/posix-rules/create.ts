import { equal } from "node:assert/strict";
import { type Caller, type FileSystem, FileType, type Name } from "../../../cowfs/file-system.ts";
import { alice, bob, carol, longestName, oddName, type Rule, root, tooLongName } from "./world.ts";

/** open(2) with O_CREAT | O_EXCL, mkdir, symlink, mkfifo, mknod: the rules that all of them share. */
const makers: Readonly<Record<string, (fs: FileSystem, caller: Caller, directory: number, name: Name) => number>> = {
  createFile: (fs, caller, directory, name) =>
    fs.createFile(caller, directory, name, { mode: 0o644 }, { kind: "guarded" }),
  createDirectory: (fs, caller, directory, name) => fs.createDirectory(caller, directory, name, { mode: 0o755 }),
  createSymlink: (fs, caller, directory, name) => fs.createSymlink(caller, directory, name, "target", {}),
  "createSpecial fifo": (fs, caller, directory, name) =>
    fs.createSpecial(caller, directory, name, FileType.fifo, 0, 0, { mode: 0o644 }),
  "createSpecial socket": (fs, caller, directory, name) =>
    fs.createSpecial(caller, directory, name, FileType.socket, 0, 0, { mode: 0o644 }),
};

const sharedRules = Object.entries(makers).flatMap(([maker, make]): Rule[] => [
  [
    `${maker} makes what the caller owns`,
    (w) => {
      const directory = w.directory({ mode: 0o777 });
      const id = w.does((fs) => make(fs, carol, directory, "new"));
      equal(w.find(directory, "new"), id);
      const { uid, gid, links } = w.attributes(id);
      equal(`${uid}:${gid}:${links}`, `1002:1002:${maker === "createDirectory" ? 2 : 1}`);
    },
  ],
  [
    `${maker} needs write and search permission on the directory`,
    (w) => {
      for (const mode of [0o755, 0o775, 0o756, 0o751]) {
        const directory = w.directory({ mode });
        w.refuses("EACCES", (fs) => make(fs, carol, directory, "new"));
      }
      const writable = w.directory({ mode: 0o733 });
      w.does((fs) => make(fs, carol, writable, "new"));
    },
  ],
  [
    `${maker} refuses a name that is there, whatever it is, before it asks for permission`,
    (w) => {
      const directory = w.directory();
      w.file({ in: directory, name: "file" });
      w.symlink("nowhere", directory, "link");
      w.directory({ in: directory, name: "directory" });
      for (const name of ["file", "link", "directory", ".", ".."]) {
        w.refuses("EEXIST", (fs) => make(fs, carol, directory, name));
      }
    },
  ],
  [
    `${maker} takes names of 1 to 255 bytes, any but / and NUL`,
    (w) => {
      const directory = w.directory();
      for (const name of [longestName, oddName, "...", "-", " "]) {
        equal(
          w.does((fs) => make(fs, root, directory, name)),
          w.find(directory, name),
        );
      }
      w.refuses("ENAMETOOLONG", (fs) => make(fs, root, directory, tooLongName));
      for (const name of ["a/b", "/", "a\0b"]) w.refuses("EINVAL", (fs) => make(fs, root, directory, name));
    },
  ],
  [
    `${maker} in a set-group-ID directory takes the directory's group`,
    (w) => {
      const directory = w.directory({ mode: 0o2777, gid: 3000 });
      const id = w.does((fs) => make(fs, carol, directory, "new"));
      equal(w.attributes(id).gid, 3000);
      equal((w.mode(id) & 0o2000) !== 0, maker === "createDirectory");
    },
  ],
  [
    `${maker} in a directory that was removed while open finds no directory`,
    (w) => {
      const directory = w.directory({ name: "removed" });
      w.fs.retain(directory);
      w.does((fs) => fs.removeDirectory(root, w.top, "removed"));
      w.refuses("ENOENT", (fs) => make(fs, root, directory, "new"));
      w.fs.release(directory);
      w.refuses("ESTALE", (fs) => make(fs, root, directory, "new"));
    },
  ],
  [
    `${maker} in a file is refused`,
    (w) => {
      const file = w.file();
      w.refuses("ENOTDIR", (fs) => make(fs, root, file, "new"));
    },
  ],
]);

export const createRules: readonly Rule[] = [
  ...sharedRules,
  [
    "an empty name is none",
    (w) => {
      for (const make of Object.values(makers)) w.refuses("EINVAL", (fs) => make(fs, root, w.top, ""));
    },
  ],
  [
    "a file keeps its set-ID bits and sticky bit, a directory only the sticky bit",
    (w) => {
      const home = w.directory({ mode: 0o777 });
      const file = w.does((fs) => fs.createFile(alice, home, "f", { mode: 0o7755 }, { kind: "guarded" }));
      equal(w.mode(file), 0o7755);
      const directory = w.does((fs) => fs.createDirectory(root, w.top, "d", { mode: 0o7755 }));
      equal(w.mode(directory), 0o1755);
    },
  ],
  [
    "a group executable of a foreign group loses set-group-ID",
    (w) => {
      const directory = w.directory({ mode: 0o2777, gid: 3000 });
      const make = (caller: Caller, name: Name, mode: number) =>
        w.does((fs) => fs.createFile(caller, directory, name, { mode }, { kind: "guarded" }));
      equal(w.mode(make(carol, "a", 0o2755)), 0o755);
      equal(w.mode(make(carol, "b", 0o2644)), 0o2644);
      equal(w.mode(make(root, "c", 0o2755)), 0o2755);
    },
  ],
  [
    "root makes files for others, others only for themselves",
    (w) => {
      const directory = w.directory({ mode: 0o777 });
      const make = (caller: Caller, change: { uid?: number; gid?: number }) => (fs: FileSystem) =>
        fs.createFile(caller, directory, w.freshName(), { mode: 0o4755, ...change }, { kind: "guarded" });
      const made = w.attributes(w.does(make(root, { uid: 7, gid: 8 })));
      equal(`${made.uid}:${made.gid}:${(made.mode & 0o7777).toString(8)}`, "7:8:4755");
      equal(w.attributes(w.does(make(bob, { gid: 2000 }))).gid, 2000);
      w.refuses("EPERM", make(bob, { uid: alice.uid }));
      w.refuses("EPERM", make(bob, { gid: 3000 }));
    },
  ],
  [
    "a directory counts itself, its name and its directories' `..`",
    (w) => {
      const directory = w.directory();
      w.directory({ in: directory });
      w.directory({ in: directory });
      w.file({ in: directory });
      equal(w.attributes(directory).links, 4);
    },
  ],
  [
    "only root makes devices; their numbers are kept",
    (w) => {
      const directory = w.directory({ mode: 0o777 });
      for (const type of [FileType.block, FileType.character]) {
        w.refuses("EPERM", (fs) => fs.createSpecial(alice, directory, "d", type, 1, 2, { mode: 0o600 }));
        const id = w.does((fs) =>
          fs.createSpecial(root, directory, w.freshName(), type, 4095, 1048575, { mode: 0o600 }),
        );
        const { mode, deviceMajor, deviceMinor } = w.attributes(id);
        equal(`${mode & FileType.mask}:${deviceMajor}:${deviceMinor}`, `${type}:4095:1048575`);
      }
    },
  ],
  [
    "files, directories and links are not made as special files",
    (w) => {
      for (const type of [FileType.regular, FileType.directory, FileType.symlink, 0, 0o170000]) {
        w.refuses("EINVAL", (fs) => fs.createSpecial(root, w.top, "d", type, 0, 0, {}));
      }
    },
  ],
  [
    "a link's target is 1 to 4095 bytes without NUL; its size is its length and its mode 0777",
    (w) => {
      const target = "t".repeat(4095);
      const link = w.symlink(target);
      equal(w.fs.readLink(root, link), target);
      equal(w.attributes(link).size, 4095);
      equal(w.mode(link), 0o777);
      w.refuses("ENAMETOOLONG", (fs) => fs.createSymlink(root, w.top, "l", `${target}t`, {}));
      w.refuses("EINVAL", (fs) => fs.createSymlink(root, w.top, "l", "a\0b", {}));
      equal(w.fs.readLink(root, w.symlink(oddName)), oddName);
    },
  ],
  [
    "a link does not lead to an empty name",
    (w) => w.refuses("ENOENT", (fs) => fs.createSymlink(root, w.top, "l", "", {})),
  ],
  [
    "unchecked creation takes the file that is there and sets nothing but its size",
    (w) => {
      const file = w.file({ name: "f", mode: 0o600, content: "abc" });
      const again = w.does((fs) => fs.createFile(alice, w.top, "f", { mode: 0o777, size: 1 }, { kind: "unchecked" }));
      equal(again, file);
      equal(`${w.mode(file)}:${w.content(file)}`, `${0o600}:a`);
      equal(
        w.does((fs) => fs.createFile(carol, w.top, "f", { mode: 0o777 }, { kind: "unchecked" })),
        file,
      );
      w.refuses("EACCES", (fs) => fs.createFile(carol, w.top, "f", { size: 0 }, { kind: "unchecked" }));
    },
  ],
  [
    "unchecked creation takes nothing but files",
    (w) => {
      w.directory({ name: "d" });
      w.symlink("x", w.top, "l");
      w.refuses("EISDIR", (fs) => fs.createFile(root, w.top, "d", {}, { kind: "unchecked" }));
      w.refuses("EEXIST", (fs) => fs.createFile(root, w.top, "l", {}, { kind: "unchecked" }));
    },
  ],
  [
    "unchecked creation finds a directory under a dot",
    (w) => w.refuses("EISDIR", (fs) => fs.createFile(root, w.top, ".", {}, { kind: "unchecked" })),
  ],
  [
    "exclusive creation is answered again to the same verifier until the file is changed",
    (w) => {
      const create = (verifier: bigint) => (fs: FileSystem) =>
        fs.createFile(root, w.top, "f", {}, { kind: "exclusive", verifier });
      const file = w.does(create(0xfedcba9876543210n));
      equal(w.does(create(0xfedcba9876543210n)), file);
      w.refuses("EEXIST", create(0xfedcba9876543211n));
      w.does((fs) => fs.setAttributes(root, file, { mode: 0o644 }));
      w.refuses("EEXIST", create(0xfedcba9876543210n));
    },
  ],
  [
    "an initial size is a hole",
    (w) => {
      const file = w.does((fs) => fs.createFile(root, w.top, "f", { size: 3 }, { kind: "guarded" }));
      equal(w.content(file), "\0\0\0");
    },
  ],
];
