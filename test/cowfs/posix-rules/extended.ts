import { deepEqual, equal } from "node:assert/strict";
import type { Caller, FileId } from "../../../cowfs/file-system.ts";
import { alice, capability, carol, type Rule, root, type World } from "./world.ts";

const value = Buffer.from("value\0\xff", "latin1");

function set(w: World, caller: Caller, id: FileId, name: string, mode: "any" | "create" | "replace" = "any") {
  return () => w.fs.setExtendedAttribute(caller, id, name, value, mode);
}

export const extendedRules: readonly Rule[] = [
  [
    "what was set is got and listed, until it is removed",
    (w) => {
      const file = w.file();
      w.does(set(w, alice, file, "user.b"));
      w.does(set(w, alice, file, "user.a"));
      deepEqual(w.fs.getExtendedAttribute(alice, file, "user.b"), value);
      deepEqual(w.fs.listExtendedAttributes(alice, file).toSorted(), ["user.a", "user.b"]);
      w.does((fs) => fs.removeExtendedAttribute(alice, file, "user.b"));
      deepEqual(w.fs.listExtendedAttributes(alice, file), ["user.a"]);
      w.refuses("ENODATA", (fs) => fs.getExtendedAttribute(alice, file, "user.b"));
      w.refuses("ENODATA", (fs) => fs.removeExtendedAttribute(alice, file, "user.b"));
    },
  ],
  [
    "create wants none, replace wants one",
    (w) => {
      const file = w.file();
      w.refuses("ENODATA", set(w, alice, file, "user.a", "replace"));
      w.does(set(w, alice, file, "user.a", "create"));
      w.refuses("EEXIST", set(w, alice, file, "user.a", "create"));
      w.does(set(w, alice, file, "user.a", "replace"));
    },
  ],
  [
    "user attributes follow the file's permissions",
    (w) => {
      const file = w.file({ mode: 0o600 });
      w.does(set(w, alice, file, "user.a"));
      w.refuses("EACCES", set(w, carol, file, "user.a"));
      w.refuses("EACCES", (fs) => fs.getExtendedAttribute(carol, file, "user.a"));
      w.refuses("EACCES", (fs) => fs.removeExtendedAttribute(carol, file, "user.a"));
    },
  ],
  [
    "user attributes are for files and directories",
    (w) => {
      for (const id of [w.symlink("x"), w.fifo()]) {
        w.refuses("EPERM", set(w, root, id, "user.a"));
        w.refuses("ENODATA", (fs) => fs.getExtendedAttribute(root, id, "user.a"));
        w.does(set(w, root, id, "security.label"));
      }
      const sticky = w.directory({ mode: 0o1777 });
      w.refuses("EPERM", set(w, carol, sticky, "user.a"));
      w.does(set(w, alice, sticky, "user.a"));
    },
  ],
  [
    "trusted attributes exist for root alone",
    (w) => {
      const file = w.file();
      w.does(set(w, root, file, "trusted.a"));
      w.refuses("EPERM", set(w, alice, file, "trusted.a"));
      w.refuses("ENODATA", (fs) => fs.getExtendedAttribute(alice, file, "trusted.a"));
      deepEqual(w.fs.listExtendedAttributes(alice, file), []);
      deepEqual(w.fs.listExtendedAttributes(root, file), ["trusted.a"]);
    },
  ],
  [
    "security attributes are set by root and read by all",
    (w) => {
      const file = w.file();
      const setAs = (caller: Caller) => () =>
        w.fs.setExtendedAttribute(caller, file, "security.capability", capability, "any");
      w.refuses("EPERM", setAs(alice));
      w.does(setAs(root));
      deepEqual(w.fs.getExtendedAttribute(carol, file, "security.capability"), capability);
    },
  ],
  [
    "other namespaces do not exist, and names and values have an end",
    (w) => {
      const file = w.file();
      for (const name of ["system.posix_acl_access", "plain", "other.a"])
        w.refuses("ENOTSUP", set(w, root, file, name));
      w.refuses("EINVAL", set(w, root, file, "user."));
      w.refuses("ERANGE", set(w, root, file, `user.${"a".repeat(251)}`));
      w.does((fs) => fs.setExtendedAttribute(root, file, `user.${"a".repeat(250)}`, Buffer.alloc(65_536), "any"));
    },
  ],
  [
    "a value of more than 64 KiB is none",
    (w) => {
      const file = w.file();
      w.refuses("ERANGE", (fs) => fs.setExtendedAttribute(root, file, "user.a", Buffer.alloc(65_537), "any"));
    },
  ],
  ["an empty name has no namespace", (w) => w.refuses("ENOTSUP", set(w, root, w.file(), ""))],
  [
    "they move ctime",
    async (w) => {
      const file = w.file();
      const before = JSON.stringify(w.attributes(file).changed);
      await w.later();
      w.does(set(w, alice, file, "user.a"));
      equal(JSON.stringify(w.attributes(file).changed) === before, false);
    },
  ],
];
