import { deepEqual, equal } from "node:assert/strict";
import type { DirectoryEntry, FileId } from "../../../cowfs/file-system.ts";
import { type Rule, root, type World } from "./world.ts";

function listInSteps(w: World, directory: FileId, limit: number, between: (round: number) => void): DirectoryEntry[] {
  const seen: DirectoryEntry[] = [];
  for (let round = 0; ; round++) {
    const page = w.fs.list(root, directory, seen.at(-1)?.cookie ?? 0, limit);
    if (page.length === 0) return seen;
    seen.push(...page);
    between(round);
  }
}

function directoryOf(w: World, names: readonly string[]): FileId {
  const directory = w.directory();
  for (const name of names) w.file({ in: directory, name });
  return directory;
}

const names = Array.from({ length: 50 }, (_, index) => `entry-${String(index).padStart(2, "0")}`);
const namesOf = (entries: readonly DirectoryEntry[]) => entries.map((entry) => entry.name).sort();

export const listRules: readonly Rule[] = [
  [
    "every entry once, without dots, at any step",
    (w) => {
      const directory = directoryOf(w, names);
      for (const limit of [1, 7, 50, 1000]) {
        const entries = listInSteps(w, directory, limit, () => {});
        deepEqual(namesOf(entries), names);
        for (const entry of entries) equal(entry.id, w.find(directory, entry.name));
      }
    },
  ],
  [
    "cookies are positive integers below 2^53 in rising order",
    (w) => {
      const cookies = w.fs.list(root, directoryOf(w, names), 0, 100).map((entry) => entry.cookie);
      equal(
        cookies.every((cookie) => Number.isSafeInteger(cookie) && cookie > 0),
        true,
      );
      deepEqual(
        cookies.toSorted((a, b) => a - b),
        cookies,
      );
    },
  ],
  [
    "removing what was seen skips and repeats nothing",
    (w) => {
      const directory = directoryOf(w, names);
      const entries: string[] = [];
      listInSteps(w, directory, 3, () => {
        for (const name of w.fs.list(root, directory, 0, 3).map((entry) => entry.name)) {
          entries.push(name);
          w.does((fs) => fs.removeFile(root, directory, name));
        }
      });
      deepEqual(entries.sort(), names);
      deepEqual(w.names(directory), []);
    },
  ],
  [
    "a cookie goes on where it did, also after its entry is gone",
    (w) => {
      const directory = directoryOf(w, names);
      const all = w.fs.list(root, directory, 0, 100);
      for (const entry of all.slice(0, 20)) w.does((fs) => fs.removeFile(root, directory, entry.name));
      deepEqual(w.fs.list(root, directory, all[10].cookie, 100), all.slice(20));
      deepEqual(w.fs.list(root, directory, all[49].cookie, 100), []);
    },
  ],
  [
    "names that stay are met exactly once while others come, go and are replaced",
    (w) => {
      const directory = directoryOf(w, names);
      const entries = listInSteps(w, directory, 5, (round) => {
        w.file({ in: directory, name: "temporary" });
        w.does((fs) => fs.rename(root, directory, "temporary", directory, names[(round * 7) % 50]));
      });
      deepEqual(
        namesOf(entries).filter((name) => name !== "temporary"),
        names,
      );
    },
  ],
];
