/** Random operations on paths, run the same on any file system. */

import { FileSystemError } from "../../../cowfs/errors.ts";
import type { Caller, FileSystem, RequestKey } from "../../../cowfs/file-system.ts";
import { FileType } from "../../../cowfs/file-system.ts";
import fc from "../../property.ts";
import { walkTo } from "./snapshot.ts";

export interface Operation {
  kind: (typeof kinds)[number];
  path: string[];
  other: string[];
  caller: Caller;
  number: number;
  text: string;
}

const kinds = [
  "create",
  "create-guarded",
  "mkdir",
  "symlink",
  "mknod",
  "link",
  "link",
  "remove",
  "remove",
  "rmdir",
  "rmdir",
  "rename",
  "rename",
  "rename",
  "rename",
  "write",
  "write",
  "truncate",
  "chmod",
  "chown",
  "touch",
  "set-attribute",
  "remove-attribute",
] as const;

const names = ["a", "b", "c", "d"];
const path = fc.array(fc.constantFrom(...names), { minLength: 1, maxLength: 3 });

export const operation: fc.Arbitrary<Operation> = fc.record({
  kind: fc.constantFrom(...kinds),
  path,
  other: path,
  caller: fc.constantFrom<Caller>(
    { uid: 0, gid: 0, groups: [] },
    { uid: 0, gid: 0, groups: [] },
    { uid: 7, gid: 7, groups: [9] },
  ),
  number: fc.constantFrom(0, 1, 3, 9, 40, 0o644, 0o777, 0o1777, 0o2755, 0o4755),
  text: fc.constantFrom("", "x", "hello", "a longer piece of text"),
});

/** Runs an operation as a transaction, recorded under the key if there is one; answers "ok" or the errno. */
export function perform(fileSystem: FileSystem, operation: Operation, key?: RequestKey): string {
  return attempt(fileSystem, () => change(fileSystem, operation), key);
}

/** The same with any change. */
export function attempt(fileSystem: FileSystem, run: () => void, key?: RequestKey): string {
  try {
    fileSystem.transact(key, () => {
      run();
      return Buffer.alloc(0);
    });
    return "ok";
  } catch (error) {
    if (error instanceof FileSystemError) return error.code;
    throw error;
  }
}

function change(fileSystem: FileSystem, { kind, path, other, caller, number, text }: Operation): void {
  const parent = (of: string[]) => walkTo(fileSystem, caller, of.slice(0, -1).join("/"));
  const last = (of: string[]) => of[of.length - 1];
  const target = () => walkTo(fileSystem, caller, path.join("/"));
  switch (kind) {
    case "create":
      fileSystem.createFile(caller, parent(path), last(path), { mode: number & 0o777 }, { kind: "unchecked" });
      break;
    case "create-guarded":
      fileSystem.createFile(caller, parent(path), last(path), { mode: 0o644 }, { kind: "guarded" });
      break;
    case "mkdir":
      fileSystem.createDirectory(caller, parent(path), last(path), { mode: number & 0o1777 });
      break;
    case "symlink":
      fileSystem.createSymlink(caller, parent(path), last(path), text || "t", {});
      break;
    case "mknod":
      fileSystem.createSpecial(caller, parent(path), last(path), FileType.fifo, 0, 0, { mode: 0o600 });
      break;
    case "link":
      fileSystem.link(caller, target(), parent(other), last(other));
      break;
    case "remove":
      fileSystem.removeFile(caller, parent(path), last(path));
      break;
    case "rmdir":
      fileSystem.removeDirectory(caller, parent(path), last(path));
      break;
    case "rename":
      fileSystem.rename(caller, parent(path), last(path), parent(other), last(other));
      break;
    case "write":
      fileSystem.write(caller, target(), number % 64, Buffer.from(text));
      break;
    case "truncate":
      fileSystem.setAttributes(caller, target(), { size: number % 64 });
      break;
    case "chmod":
      fileSystem.setAttributes(caller, target(), { mode: number });
      break;
    case "chown":
      fileSystem.setAttributes(caller, target(), { uid: number % 10, gid: number % 10 });
      break;
    case "touch":
      fileSystem.setAttributes(caller, target(), { modified: { seconds: number, nanoseconds: 0 } });
      break;
    case "set-attribute":
      fileSystem.setExtendedAttribute(caller, target(), attributeName(number), Buffer.from(text), "any");
      break;
    case "remove-attribute":
      fileSystem.removeExtendedAttribute(caller, target(), attributeName(number));
      break;
  }
}

function attributeName(number: number): string {
  return number < 9 ? "user.a" : number < 0o700 ? "security.capability" : "trusted.b";
}
