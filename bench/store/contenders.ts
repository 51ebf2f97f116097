/** How each program stores a directory, stores it again, and gives it back; at its defaults. */
import { join } from "node:path";

export interface Commands {
  /** Makes an empty store in `store`; not timed. */
  readonly begin?: readonly string[];
  readonly publish: (tree: string, version: 1 | 2) => readonly string[];
  readonly pull: (output: string) => readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export interface Contender {
  readonly name: string;
  readonly packages: readonly string[];
  /** Whether it finds equal parts of files by itself: the goal for the first publication is about these. */
  readonly deduplicates: boolean;
  commands(store: string): Commands;
}

export const peers: readonly Contender[] = [
  {
    name: "casync",
    packages: ["casync"],
    deduplicates: true,
    commands: (store) => ({
      publish: (tree, version) => ["casync", "make", `--store=${store}/x.castr`, `${store}/${version}.caidx`, tree],
      pull: (output) => ["casync", "extract", `--store=${store}/x.castr`, `${store}/1.caidx`, output],
    }),
  },
  {
    name: "ostree",
    packages: ["ostree"],
    deduplicates: false,
    commands: (store) => ({
      begin: ["ostree", `--repo=${store}`, "init", "--mode=archive"],
      publish: (tree) => ["ostree", `--repo=${store}`, "commit", "--branch=x", `--tree=dir=${tree}`],
      pull: (output) => ["ostree", `--repo=${store}`, "checkout", "x^", output],
    }),
  },
  {
    name: "restic",
    packages: ["restic"],
    deduplicates: true,
    commands: (store) => ({
      begin: ["restic", "-r", store, "init"],
      publish: (tree) => ["restic", "-r", store, "backup", "--no-cache", "--quiet", tree],
      pull: (output) => ["restic", "-r", store, "restore", "latest", "--no-cache", "--quiet", "--target", output],
      env: { RESTIC_PASSWORD: "benchmark", HOME: store },
    }),
  },
  {
    name: "borg",
    packages: ["borgbackup"],
    deduplicates: true,
    commands: (store) => ({
      begin: ["borg", "init", "--encryption=none", store],
      publish: (tree, version) => ["borg", "create", `${store}::${version}`, tree],
      pull: (output) => ["sh", "-c", `mkdir '${output}' && cd '${output}' && exec borg extract '${store}::1'`],
      env: { BORG_BASE_DIR: `${store}.borg`, BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: "yes" },
    }),
  },
];

const checkout = join(import.meta.dirname, "../..");
const node = [process.execPath, "--no-warnings"];
const xeno = [...node, join(checkout, "control/cli/main.ts")];
const ours = join(import.meta.dirname, "ours.ts");

/** Ours, as a user runs it: each command is a process of its own. */
export const ourUrl = "xenostore://bench/tree";
export const ourCommands = {
  newKey: [...xeno, "key", "new", "bench"],
  publish: (source: string, version: string) => [...xeno, "publish", source, `${ourUrl}@${version}`],
  /** Changes the files that are listed in a file through a journal over the first version. */
  change: (journal: string, list: string) => [...node, ours, "change", journal, list],
  /** Everything into the cache, verified; or the first byte of one file. */
  pull: (what: "all" | "first") => [...node, ours, what],
};
