import { equal } from "node:assert/strict";
import { alice, bob, carol, type Rule, root } from "./world.ts";

export const chmodRules: readonly Rule[] = [
  [
    "the owner sets all twelve bits",
    (w) => {
      const file = w.file({ gid: 2000 });
      for (const mode of [0, 0o644, 0o4755, 0o2755, 0o6777, 0o7777]) {
        w.does((fs) => fs.setAttributes(alice, file, { mode }));
        equal(w.mode(file), mode);
      }
    },
  ],
  [
    "nobody else but root may",
    (w) => {
      const file = w.file({ mode: 0o666 });
      w.refuses("EPERM", (fs) => fs.setAttributes(bob, file, { mode: 0o600 }));
      w.does((fs) => fs.setAttributes(root, file, { mode: 0o600 }));
      equal(w.mode(file), 0o600);
    },
  ],
  [
    "an owner outside the file's group cannot set set-group-ID, root can",
    (w) => {
      const file = w.file({ gid: 3000 });
      w.does((fs) => fs.setAttributes(alice, file, { mode: 0o2755 }));
      equal(w.mode(file), 0o755);
      w.does((fs) => fs.setAttributes(root, file, { mode: 0o2755 }));
      equal(w.mode(file), 0o2755);
      const directory = w.directory({ gid: 3000 });
      w.does((fs) => fs.setAttributes(alice, directory, { mode: 0o2755 }));
      equal(w.mode(directory), 0o755);
    },
  ],
  [
    "a supplementary group is the file's group too",
    (w) => {
      const file = w.file({ gid: 2000 });
      w.does((fs) => fs.setAttributes(alice, file, { mode: 0o2755 }));
      equal(w.mode(file), 0o2755);
    },
  ],
  [
    "it changes ctime and nothing but ctime",
    async (w) => {
      const file = w.file();
      const before = w.attributes(file);
      await w.later();
      w.does((fs) => fs.setAttributes(alice, file, { mode: 0o600 }));
      const after = w.attributes(file);
      equal(JSON.stringify([after.modified, after.accessed]), JSON.stringify([before.modified, before.accessed]));
      equal(JSON.stringify(after.changed) === JSON.stringify(before.changed), false);
    },
  ],
  [
    "a symbolic link has no mode to set",
    (w) => {
      const link = w.symlink("target");
      w.refuses("ENOTSUP", (fs) => fs.setAttributes(alice, link, { mode: 0o600 }));
      equal(w.mode(link), 0o777);
    },
  ],
  [
    "bits beyond 07777 are invalid",
    (w) => w.refuses("EINVAL", (fs) => fs.setAttributes(root, w.top, { mode: 0o10644 })),
  ],
  [
    "an inode that is gone is stale",
    (w) => {
      const file = w.file({ name: "gone" });
      w.does((fs) => fs.removeFile(root, w.top, "gone"));
      w.refuses("ESTALE", (fs) => fs.setAttributes(carol, file, { mode: 0o600 }));
    },
  ],
];
