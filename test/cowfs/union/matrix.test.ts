/**
 * Renames and links of everything onto everything: each kind of thing that a name can be in a union, as source and as
 * target, each pair in a directory of its own, all pairs at once. What fuse-overlayfs had wrong is among them: a directory
 * that was removed and cannot be replaced by another (its issue 271), and a file that comes back under its old name when it
 * is moved onto a whiteout (354).
 */
import assert from "node:assert/strict";
import test from "ava";
import type { FileSystem } from "../../../cowfs/file-system.ts";
import { FileType } from "../../../cowfs/file-system.ts";
import type { TreeNode } from "../../../cowfs/trees/node.ts";
import { Comparison, modelOf, text } from "./fill-model.ts";
import { directory, symlink } from "./layers.ts";
import { attempt } from "./operations.ts";
import { openScratch } from "./scratch.ts";
import { root, walkTo } from "./snapshot.ts";

type Children = Record<string, TreeNode | "whiteout">;

interface Kind {
  readonly template?: (name: string) => Children;
  readonly overlay?: (name: string) => Children;
  /** What is done before: operations on the directory of the pair. */
  readonly prepare?: (name: string) => readonly Step[];
}

/** One change in the directory of a pair, by names in it. */
type Step =
  | { readonly kind: "write" | "mkdir" | "remove" | "rmdir" | "chmod" | "truncate" | "mkfifo"; readonly at: string }
  | Pairing;

interface Pairing {
  readonly kind: "rename" | "link";
  readonly at: string;
  readonly to: string;
}

const write = (at: string): Step => ({ kind: "write", at });
const mkdir = (at: string): Step => ({ kind: "mkdir", at });
const remove = (at: string): Step => ({ kind: "remove", at });
const rmdir = (at: string): Step => ({ kind: "rmdir", at });
const rename = (at: string, to: string): Pairing => ({ kind: "rename", at, to });
const link = (at: string, to: string): Pairing => ({ kind: "link", at, to });

const inner = (n: string) => directory({ a: text(`${n}/a`), b: text(`${n}/b`), d: directory({ e: text("deep") }) });
const linked = (n: string): Children => {
  const node = text(`${n} has two names`);
  return { [n]: node, [`${n}-too`]: node };
};

const kinds: Record<string, Kind> = {
  nothing: {},
  "a template's file": { template: (n) => ({ [n]: text("template") }) },
  "a file of both layers": { template: (n) => ({ [n]: text("template") }), overlay: (n) => ({ [n]: text("overlay") }) },
  "a file that was copied up": { template: (n) => ({ [n]: text("template") }), prepare: (n) => [write(n)] },
  "a file with another name": { template: linked },
  "a file that lost its other name": { template: linked, prepare: (n) => [remove(`${n}-too`)] },
  "a copied-up file with another name": { template: linked, prepare: (n) => [write(`${n}-too`)] },
  "a new file": { prepare: (n) => [write(n)] },
  "a new name of a template's file": {
    template: (n) => ({ [`${n}-too`]: text("linked") }),
    prepare: (n) => [link(`${n}-too`, n)],
  },
  "a removed file": { template: (n) => ({ [n]: text("gone") }), prepare: (n) => [remove(n)] },
  "a whiteout of the overlay": { template: (n) => ({ [n]: text("gone") }), overlay: (n) => ({ [n]: "whiteout" }) },
  "a template's directory": { template: (n) => ({ [n]: inner(n) }) },
  "an empty directory of a template": { template: (n) => ({ [n]: directory({}) }) },
  "a merged directory": {
    template: (n) => ({ [n]: inner(n) }),
    overlay: (n) => ({ [n]: directory({ a: "whiteout", c: text("added"), d: directory({ f: text("f") }) }) }),
  },
  "a merged directory that was changed": {
    template: (n) => ({ [n]: inner(n) }),
    overlay: (n) => ({ [n]: directory({ c: text("added") }) }),
    prepare: (n) => [remove(`${n}/a`), write(`${n}/b`), write(`${n}/new`), mkdir(`${n}/d/made`)],
  },
  "a merged directory that was emptied": {
    template: (n) => ({ [n]: directory({ a: text("a") }) }),
    overlay: (n) => ({ [n]: directory({ b: text("b") }) }),
    prepare: (n) => [remove(`${n}/a`), remove(`${n}/b`)],
  },
  "an opaque directory": {
    template: (n) => ({ [n]: inner(n) }),
    overlay: (n) => ({ [n]: directory({ c: text("only") }, true) }),
  },
  "an empty opaque directory": {
    template: (n) => ({ [n]: inner(n) }),
    overlay: (n) => ({ [n]: directory({}, true) }),
  },
  "a new directory": { prepare: (n) => [mkdir(n), write(`${n}/x`)] },
  "a new directory over a removed one": {
    template: (n) => ({ [n]: directory({ a: text("a"), b: text("b") }) }),
    prepare: (n) => [remove(`${n}/a`), remove(`${n}/b`), rmdir(n), mkdir(n)],
  },
  "a template's directory that was moved here": {
    template: (n) => ({ [`${n}-old`]: inner(n) }),
    prepare: (n) => [rename(`${n}-old`, n), remove(`${n}/a`)],
  },
  "a template's directory over a removed file": {
    template: (n) => ({ [n]: text("gone"), [`${n}-old`]: inner(n) }),
    prepare: (n) => [remove(n), rename(`${n}-old`, n)],
  },
  "a symlink": { template: (n) => ({ [n]: symlink("x") }) },
  "a fifo": { prepare: (n) => [{ kind: "mkfifo", at: n }] },
};

const pairs = Object.keys(kinds).flatMap((source) => Object.keys(kinds).map((target) => [source, target] as const));
const placeOf = (index: number) => `p${index}`;

function layerOf(layer: "template" | "overlay"): TreeNode {
  const places = pairs.map(([source, target], index) => {
    const children = { ...kinds[source][layer]?.("s"), ...kinds[target][layer]?.("t") };
    return [placeOf(index), directory({ ...children, other: directory({}) })] as const;
  });
  return directory({
    ...Object.fromEntries(places),
    ...(layer === "overlay" ? { ".mount": text("test://template") } : {}),
  });
}

function change(fileSystem: FileSystem, place: string, step: Step): void {
  const find = (at: string) => {
    const names = `${place}/${at}`.split("/");
    const name = names.pop()!;
    return [walkTo(fileSystem, root, names.join("/")), name] as const;
  };
  const [parent, name] = find(step.at);
  const id = () => fileSystem.lookup(root, parent, name);
  switch (step.kind) {
    case "write": {
      const made = fileSystem.createFile(root, parent, name, { mode: 0o600 }, { kind: "unchecked" });
      return fileSystem.write(root, made, 1, Buffer.from(`written ${step.at}`));
    }
    case "mkdir":
      return void fileSystem.createDirectory(root, parent, name, { mode: 0o700 });
    case "mkfifo":
      return void fileSystem.createSpecial(root, parent, name, FileType.fifo, 0, 0, { mode: 0o600 });
    case "remove":
      return fileSystem.removeFile(root, parent, name);
    case "rmdir":
      return fileSystem.removeDirectory(root, parent, name);
    case "chmod":
      return fileSystem.setAttributes(root, id(), { mode: 0o711 });
    case "truncate":
      return fileSystem.setAttributes(root, id(), { size: 3 });
    case "rename":
      return fileSystem.rename(root, parent, name, ...find(step.to));
    case "link":
      return fileSystem.link(root, id(), ...find(step.to));
  }
}

/** Then, whatever came of it, all that people do with names: each step in every pair. */
const afterwards: readonly Step[] = [
  { kind: "chmod", at: "t" },
  { kind: "truncate", at: "t" },
  write("t/inside"),
  rename("t", "other/t"),
  mkdir("t"),
  rename("other/t", "back"),
  rmdir("t"),
  rename("back", "s"),
  remove("s"),
  rmdir("s"),
  mkdir("s"),
  link("t", "linked"),
  rename("t-too", "t"),
  rename("s", "t"),
];

for (const [what, first] of [
  ["rename", rename("s", "t")],
  ["rename into another directory and back", rename("s", "other/x")],
  ["link", link("s", "t")],
] as const)
  test(`${what}: ${pairs.length} pairs of everything with everything do what the model does`, async (t) => {
    const layers = { "test://template": layerOf("template"), "test://overlay": layerOf("overlay") };
    const s = await openScratch(t, { base: "test://overlay", layers });
    const model = modelOf([layers["test://overlay"], layers["test://template"]]);
    const comparison = new Comparison(model);
    await s.find("/p0");
    const inAll = (steps: (index: number) => readonly Step[]) => {
      for (const [index, [source, target]] of pairs.entries())
        for (const step of steps(index)) {
          const run = (fileSystem: FileSystem) => attempt(fileSystem, () => change(fileSystem, placeOf(index), step));
          const [expected, found] = [run(model), run(s.fs)];
          assert.equal(found, expected, `${source} > ${target}: ${JSON.stringify(step)}`);
        }
    };
    inAll((index) => [
      ...(kinds[pairs[index][0]].prepare?.("s") ?? []),
      ...(kinds[pairs[index][1]].prepare?.("t") ?? []),
    ]);
    comparison.check(s.fs, "prepared");
    inAll(() => [first]);
    comparison.check(s.fs, what);
    await s.reopen();
    await s.find("/p0");
    comparison.check(s.fs, `${what}, and a restart`);
    if (first.to === "other/x") inAll(() => [rename("other/x", "t")]);
    for (const [index, step] of afterwards.entries()) {
      inAll(() => [step]);
      comparison.check(s.fs, `${what}, then ${JSON.stringify(step)}`);
      if (index % 5 !== 2) continue;
      await s.fs.core.journal.checkpoint();
      await s.reopen();
      await s.find("/p0");
      comparison.check(s.fs, `${what}, then ${JSON.stringify(step)}, a checkpoint and a restart`);
    }
    t.pass();
  });
