import { equal } from "node:assert/strict";
import { alice, bob, capability, type Rule, root } from "./world.ts";

export const chownRules: readonly Rule[] = [
  [
    "root gives files to anyone",
    (w) => {
      const file = w.file();
      w.does((fs) => fs.setAttributes(root, file, { uid: 5, gid: 6 }));
      equal(`${w.attributes(file).uid}:${w.attributes(file).gid}`, "5:6");
    },
  ],
  [
    "an owner cannot give a file away, but may name itself",
    (w) => {
      const file = w.file();
      w.refuses("EPERM", (fs) => fs.setAttributes(alice, file, { uid: bob.uid }));
      w.does((fs) => fs.setAttributes(alice, file, { uid: alice.uid }));
    },
  ],
  [
    "an owner chooses among its own groups only",
    (w) => {
      const file = w.file();
      w.does((fs) => fs.setAttributes(alice, file, { gid: 2000 }));
      equal(w.attributes(file).gid, 2000);
      w.refuses("EPERM", (fs) => fs.setAttributes(alice, file, { gid: 3000 }));
    },
  ],
  [
    "others change neither, not even to what it is",
    (w) => {
      const file = w.file({ gid: 2000, mode: 0o777 });
      for (const change of [{ uid: bob.uid }, { gid: 2000 }, { uid: alice.uid }]) {
        w.refuses("EPERM", (fs) => fs.setAttributes(bob, file, change));
      }
    },
  ],
  [
    "set-ID bits fall, root's hand or not",
    (w) => {
      for (const caller of [root, alice]) {
        const file = w.file({ mode: 0o6755 });
        w.does((fs) => fs.setAttributes(caller, file, { gid: 2000 }));
        equal(w.mode(file), 0o755);
        const same = w.file({ mode: 0o6755 });
        w.does((fs) => fs.setAttributes(caller, same, { uid: alice.uid }));
        equal(w.mode(same), 0o755);
      }
    },
  ],
  [
    "a directory keeps its bits",
    (w) => {
      const directory = w.directory({ mode: 0o7755 });
      w.does((fs) => fs.setAttributes(root, directory, { uid: 5, gid: 6 }));
      equal(w.mode(directory), 0o7755);
    },
  ],
  [
    "set-group-ID without group execute stays for a member of the group",
    (w) => {
      const file = w.file({ mode: 0o2644 });
      w.does((fs) => fs.setAttributes(alice, file, { gid: 2000 }));
      equal(w.mode(file), 0o2644);
    },
  ],
  [
    "a set-ID mode in the same change falls too",
    (w) => {
      const file = w.file();
      w.does((fs) => fs.setAttributes(root, file, { uid: 5, mode: 0o4755 }));
      equal(w.mode(file), 0o755);
    },
  ],
  [
    "file capabilities fall",
    (w) => {
      const file = w.file();
      w.does((fs) => fs.setExtendedAttribute(root, file, "security.capability", capability, "any"));
      w.does((fs) => fs.setAttributes(root, file, { uid: 5 }));
      equal(w.fs.listExtendedAttributes(root, file).length, 0);
    },
  ],
  [
    "a symbolic link can be given away",
    (w) => {
      const link = w.symlink("target");
      w.does((fs) => fs.setAttributes(root, link, { uid: 5 }));
      equal(w.attributes(link).uid, 5);
    },
  ],
  [
    "2^32 - 1 is nobody's number",
    (w) => {
      for (const change of [{ uid: 0xffffffff }, { gid: 0xffffffff }, { uid: -1 }]) {
        w.refuses("EINVAL", (fs) => fs.setAttributes(root, w.top, change));
      }
    },
  ],
];
