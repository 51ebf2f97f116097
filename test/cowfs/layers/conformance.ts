/**
 * What every kind of layer keeps, seen through a union as guests see it: one row a rule. A kind that cannot do a thing says
 * so in its `limits`, and a limit that is none any more fails.
 */
import { deepEqual, equal, rejects } from "node:assert/strict";
import type { ExecutionContext, TestFn } from "ava";
import { FileSystemError } from "../../../cowfs/errors.ts";
import { type FileId, FileType } from "../../../cowfs/file-system.ts";
import type { Scratch } from "../union/scratch.ts";
import { root } from "../union/snapshot.ts";

/** Files to be laid out in a layer, by path; directories are implied, and can be named for their attributes. */
export type Spec = Readonly<Record<string, SpecEntry>>;
export type SpecEntry =
  | string
  | {
      readonly type?: number;
      readonly content?: string;
      readonly target?: string;
      readonly mode?: number;
      readonly uid?: number;
      readonly gid?: number;
      readonly seconds?: number;
      readonly nanoseconds?: number;
      readonly device?: readonly [number, number];
      /** Another name of the file at this path. */
      readonly same?: string;
      readonly opaque?: boolean;
      readonly whiteout?: boolean;
    };

export interface Laid {
  /** A union that shows the layer at `/`, over `weaker` at `/` where that is given. */
  readonly scratch: Scratch;
  /** The layer's own content now, as `listHost` of host-files.ts does; undefined where it cannot change. */
  readonly own?: () => Promise<unknown>;
}

export type Lay = (t: ExecutionContext, spec: Spec, weaker: Spec) => Promise<Laid>;

type Rule = readonly [sentence: string, spec: Spec, run: (s: Scratch) => Promise<void>, weaker?: Spec];

const big = "0123456789abcdef".repeat(40_000);
const oddName = "\xff\xfe \n\x01";

export const layerRules: readonly Rule[] = [
  [
    "names are found and listed, and what is not there is ENOENT",
    { a: "a", "d/b": "b", "d/e/c": "c" },
    async (s) => {
      deepEqual(await names(s, "/"), ["a", "d"]);
      deepEqual(await names(s, "/d"), ["b", "e"]);
      equal(await s.read("/d/e/c"), "c");
      await refuses(s.find("/d/missing"), "ENOENT");
      await refuses(s.find("/a/b"), "ENOTDIR");
      equal(await s.find("/d/e/../.."), s.fs.rootId);
    },
  ],
  [
    "mode, owner, size and times are shown, to the nanosecond",
    { a: { content: "hello", mode: 0o4751, uid: 1000, gid: 2000, seconds: 1_600_000_001, nanoseconds: 123_456_789 } },
    async (s) => {
      const { mode, uid, gid, size, links, modified } = await attributes(s, "/a");
      deepEqual(
        { mode, uid, gid, size, links, modified },
        {
          mode: FileType.regular | 0o4751,
          uid: 1000,
          gid: 2000,
          size: 5,
          links: 1,
          modified: { seconds: 1_600_000_001, nanoseconds: 123_456_789 },
        },
      );
    },
  ],
  [
    "a directory has its own mode and owner",
    { d: { type: FileType.directory, mode: 0o1777, uid: 7, gid: 8 } },
    async (s) => {
      const { mode, uid, gid } = await attributes(s, "/d");
      deepEqual({ mode, uid, gid }, { mode: FileType.directory | 0o1777, uid: 7, gid: 8 });
    },
  ],
  [
    "a large file is read whole, in parts, and not past its end",
    { big },
    async (s) => {
      equal(await s.read("/big"), big);
      const id = await s.find("/big");
      const target = Buffer.alloc(300_000, 0xee);
      equal(await s.run((fs) => fs.read(root, id, 131_000, 300, target, 7)), 300);
      equal(target.toString("latin1", 7, 307), big.slice(131_000, 131_300));
      equal(target[6], 0xee);
      equal(target[307], 0xee);
      equal(await s.run((fs) => fs.read(root, id, big.length - 10, 300_000, target, 0)), 10);
      equal(await s.run((fs) => fs.read(root, id, big.length + 1, 100, target, 0)), 0);
    },
  ],
  [
    "links have their targets, whatever these are, and are not followed",
    { l: { target: "../../etc/passwd" }, odd: { target: "\xff\x01/x" } },
    async (s) => {
      equal(await readLink(s, "/l"), "../../etc/passwd");
      equal(await readLink(s, "/odd"), "\xff\x01/x");
      await refuses(s.names("/l"), "ENOTDIR");
    },
  ],
  [
    "names of any bytes are kept byte for byte, up to 255 of them",
    { [oddName]: "odd", ["n".repeat(255)]: "long", "wh.x": "no whiteout" },
    async (s) => {
      deepEqual(await names(s, "/"), [oddName, "n".repeat(255), "wh.x"].sort());
      equal(await s.read(`/${oddName}`), "odd");
      equal(await s.read(`/${"n".repeat(255)}`), "long");
      await refuses(s.find(`/${"n".repeat(256)}`), "ENAMETOOLONG");
    },
  ],
  [
    "two names of a file are one inode",
    { a: "a", b: { same: "a" } },
    async (s) => {
      equal(await s.find("/a"), await s.find("/b"));
      equal((await attributes(s, "/a")).links, 2);
    },
  ],
  [
    "device nodes, fifos and sockets are shown as what they are",
    {
      fifo: { type: FileType.fifo },
      null: { type: FileType.character, device: [1, 3] },
      disk: { type: FileType.block, device: [259, 70_000] },
    },
    async (s) => {
      equal((await attributes(s, "/fifo")).mode & FileType.mask, FileType.fifo);
      const { mode, deviceMajor, deviceMinor } = await attributes(s, "/null");
      deepEqual([mode & FileType.mask, deviceMajor, deviceMinor], [FileType.character, 1, 3]);
      const disk = await attributes(s, "/disk");
      deepEqual([disk.deviceMajor, disk.deviceMinor], [259, 70_000]);
      await refuses(
        s.run((fs) => fs.read(root, fs.lookup(root, fs.rootId, "fifo"), 0, 1, Buffer.alloc(1), 0)),
        "EINVAL",
      );
    },
  ],
  [
    "a whiteout hides the name in weaker layers, and is no name itself",
    { hidden: { whiteout: true }, "d/hidden": { whiteout: true }, "d/new": "new" },
    async (s) => {
      deepEqual(await names(s, "/"), ["d", "shown"]);
      deepEqual(await names(s, "/d"), ["new", "shown"]);
      await refuses(s.find("/hidden"), "ENOENT");
      await refuses(s.find("/.wh.hidden"), "ENOENT");
    },
    { hidden: "h", shown: "s", "d/hidden": "h", "d/shown": "s" },
  ],
  [
    "an opaque directory hides all of weaker layers at its place",
    { "d/own": "own", d: { type: FileType.directory, opaque: true } },
    async (s) => {
      deepEqual(await names(s, "/d"), ["own"]);
      await refuses(s.find("/d/weaker"), "ENOENT");
      deepEqual(await names(s, "/"), ["d", "weaker"]);
    },
    { "d/weaker": "w", weaker: "w" },
  ],
  [
    "directories of the same name merge with weaker layers, and of files the stronger is shown",
    { "d/one": "1", "d/both": "stronger", f: "file" },
    async (s) => {
      deepEqual(await names(s, "/d"), ["both", "one", "two"]);
      equal(await s.read("/d/both"), "stronger");
      equal(await s.read("/f"), "file");
    },
    { "d/two": "2", "d/both": "weaker", "f/x": "under a file" },
  ],
  [
    "a directory of 2,000 names is listed in pages: each name once",
    Object.fromEntries(Array.from({ length: 2000 }, (_, index) => [`many/n${index}`, ""])),
    async (s) => {
      const directory = await s.find("/many");
      const seen: string[] = [];
      for (let cookie = 0; ; ) {
        const page = await s.run((fs) => fs.list(root, directory, cookie, 150));
        if (page.length === 0) break;
        seen.push(...page.map(({ name }) => name));
        cookie = page.at(-1)!.cookie;
      }
      equal(seen.length, 2000);
      equal(new Set(seen).size, 2000);
      await s.run((fs) => {
        for (const { id } of fs.list(root, directory, 0, 2000)) fs.getAttributes(id);
      });
    },
  ],
  [
    "ids stay over re-opening, also those of files that only a handle names",
    { a: "a", "d/e/f": "f" },
    async (s) => {
      const ids = [await s.find("/a"), await s.find("/d/e/f"), await s.find("/d/e")];
      await s.reopen();
      for (const id of ids) await s.run((fs) => fs.getAttributes(id));
      deepEqual([await s.find("/a"), await s.find("/d/e/f"), await s.find("/d/e")], ids);
      equal(await s.run((fs) => fs.lookup(root, ids[2], "..")), await s.find("/d"));
    },
  ],
  [
    "a journal over it takes every change, and the layer stays as it is",
    { "d/a": "a", "d/b": "b", "d/c": "c", big, "e/x": "x" },
    async (s) => {
      const id = await s.find("/d/a");
      await write(s, id, 0, "A!");
      await s.set("/d/b", { mode: 0o600, uid: 5 });
      await s.rename("/d/c", "/c");
      await s.remove("/e/x");
      await s.removeDirectory("/e");
      await s.rename("/d", "/moved");
      await s.write("/moved/new", "new");
      await write(s, await s.find("/big"), 200_000, "CHANGED");
      const expected = `${big.slice(0, 200_000)}CHANGED${big.slice(200_007)}`;
      for (let round = 0; round < 2; round++) {
        deepEqual(await names(s, "/"), ["big", "c", "moved"]);
        deepEqual(await names(s, "/moved"), ["a", "b", "new"]);
        equal(await s.read("/moved/a"), "A!");
        equal(await s.read("/moved/b"), "b");
        equal(await s.read("/big"), expected);
        equal((await attributes(s, "/moved/b")).mode & 0o7777, 0o600);
        equal(await s.find("/moved/a"), id);
        await s.reopen();
      }
    },
  ],
];

export interface LayerSuite {
  readonly lay: Lay;
  /** Rules that the kind cannot keep, and why. */
  readonly limits?: Readonly<Record<string, string>>;
}

export function declareLayerSuite(test: TestFn, kind: string, { lay, limits = {} }: LayerSuite): void {
  const unmet = new Set(Object.keys(limits));
  for (const [sentence, spec, run, weaker = {}] of layerRules) {
    const isLimit = unmet.delete(sentence);
    // Serial: a live layer is a process, and they are many.
    test.serial(`${kind}: ${isLimit ? "not kept: " : ""}${sentence}`, async (t) => {
      const keep = async () => {
        const { scratch, own } = await lay(t, spec, weaker);
        const before = await own?.();
        await run(scratch);
        t.deepEqual(await own?.(), before, "the layer stays as it is");
      };
      if (isLimit) await t.throwsAsync(keep, undefined, "this limit is gone: take it off the table");
      else await keep();
    });
  }
  if (unmet.size > 0) throw new Error(`limits that name no rule: ${[...unmet].join("; ")}`);
}

/** Without the file that mounts the layer in some of the arrangements. */
async function names(s: Scratch, at: string): Promise<string[]> {
  return (await s.names(at)).filter((name) => name !== ".mount");
}

export async function attributes(s: Scratch, at: string) {
  const id = await s.find(at);
  return await s.run((fs) => fs.getAttributes(id));
}

export async function readLink(s: Scratch, at: string): Promise<string> {
  const id = await s.find(at);
  return await s.run((fs) => fs.readLink(root, id));
}

export async function write(s: Scratch, id: FileId, offset: number, text: string): Promise<void> {
  await s.change((fs) => fs.write(root, id, offset, Buffer.from(text, "latin1")));
}

export async function refuses(promise: Promise<unknown>, code: string): Promise<void> {
  await rejects(promise, (error) => error instanceof FileSystemError && error.code === code);
}
