/** Laying a Spec out as a host directory, as a sealed tree, or in a journal. */
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { FileType } from "../../../cowfs/file-system.ts";
import { createDirectoryNode, createSpecialNode, createSymlinkNode, type TreeNode } from "../../../cowfs/trees/node.ts";
import { file } from "../union/layers.ts";
import type { Scratch } from "../union/scratch.ts";
import { root } from "../union/snapshot.ts";
import type { Spec, SpecEntry } from "./conformance.ts";

type Described = Exclude<SpecEntry, string>;

function describe(entry: SpecEntry): Described {
  return typeof entry === "string" ? { content: entry } : entry;
}

function typeOf({ type, target }: Described): number {
  return type ?? (target === undefined ? FileType.regular : FileType.symlink);
}

/** Directories before what is in them. */
function inOrder(spec: Spec): [string, Described][] {
  return Object.entries(spec)
    .map(([at, entry]): [string, Described] => [at, describe(entry)])
    .sort(
      ([, left], [, right]) =>
        Number(typeOf(right) === FileType.directory) - Number(typeOf(left) === FileType.directory),
    );
}

/** Into an existing directory of the host, with OCI whiteouts. */
export function layHostFiles(directory: string, spec: Spec): void {
  const at = (name: string) => Buffer.from(`${directory}/${name}`, "latin1");
  for (const [name, entry] of inOrder(spec)) {
    const type = typeOf(entry);
    fs.mkdirSync(path.dirname(`${directory}/${name}`), { recursive: true });
    const { mode = 0o644, uid = 0, gid = 0, seconds, nanoseconds = 0 } = entry;
    if (entry.whiteout) {
      fs.writeFileSync(at(path.posix.join(path.dirname(name), `.wh.${path.basename(name)}`)), "");
      continue;
    }
    if (entry.same !== undefined) {
      fs.linkSync(at(entry.same), at(name));
      continue;
    }
    if (type === FileType.directory) fs.mkdirSync(at(name));
    else if (type === FileType.symlink) fs.symlinkSync(Buffer.from(entry.target!, "latin1"), at(name));
    else if (type === FileType.regular) fs.writeFileSync(at(name), Buffer.from(entry.content ?? "", "latin1"));
    else {
      const letter = { [FileType.fifo]: "p", [FileType.character]: "c", [FileType.block]: "b" }[type]!;
      execFileSync("mknod", [`${directory}/${name}`, letter, ...(entry.device ?? []).map(String)]);
    }
    if (entry.opaque) fs.writeFileSync(at(`${name}/.wh..wh..opq`), "");
    if (type === FileType.symlink) continue;
    // Not every file system can.
    if (uid !== 0 || gid !== 0) fs.chownSync(at(name), uid, gid);
    fs.chmodSync(at(name), type === FileType.directory ? (entry.mode ?? 0o755) : mode);
    if (type === FileType.directory || seconds === undefined) continue;
    // utimes(2) by Node takes seconds as a double.
    if (nanoseconds === 0) fs.utimesSync(at(name), seconds, seconds);
    else execFileSync("touch", ["-d", `@${seconds}.${String(nanoseconds).padStart(9, "0")}`, `${directory}/${name}`]);
  }
}

/** All that can be told of a directory of the host and what is below. */
export function listHost(directory: string): string[] {
  const lines: string[] = [];
  const visit = (at: Buffer) => {
    const stats = fs.lstatSync(at, { bigint: true });
    const content = stats.isFile() ? fs.readFileSync(at, "latin1") : "";
    lines.push(`${at.toString("latin1")} ${stats.mode} ${stats.uid} ${stats.gid} ${stats.mtimeNs} ${content}`);
    if (stats.isDirectory())
      for (const name of fs.readdirSync(at, "latin1").sort())
        visit(Buffer.concat([at, Buffer.from(`/${name}`, "latin1")]));
  };
  visit(Buffer.from(directory));
  return lines;
}

export function makeTree(spec: Spec): TreeNode {
  const top = createDirectoryNode({ permissions: 0o755 });
  const nodes = new Map<string, TreeNode>([[".", top]]);
  const above = (name: string): TreeNode => {
    const parent = path.posix.dirname(name);
    let node = nodes.get(parent);
    if (node === undefined) {
      node = createDirectoryNode({ permissions: 0o755 });
      above(parent).children!.set(path.posix.basename(parent), node);
      nodes.set(parent, node);
    }
    return node;
  };
  for (const [name, entry] of inOrder(spec)) {
    const node = entry.whiteout ? "whiteout" : entry.same === undefined ? makeNode(entry) : nodes.get(entry.same)!;
    above(name).children!.set(path.posix.basename(name), node);
    if (node !== "whiteout") nodes.set(name, node);
  }
  return top;
}

function makeNode(entry: Described): TreeNode {
  const type = typeOf(entry);
  const { uid = 0, gid = 0, seconds = 1_500_000_000, nanoseconds = 0 } = entry;
  const modified = { seconds, nanoseconds };
  const permissions = entry.mode ?? (type === FileType.directory ? 0o755 : 0o644);
  const metadata = { permissions, uid, gid, modified };
  if (type === FileType.directory) return { ...createDirectoryNode(metadata), opaque: entry.opaque ?? false };
  if (type === FileType.symlink) return createSymlinkNode(metadata, entry.target!);
  if (type === FileType.regular) return { ...file(entry.content ?? "", permissions), uid, gid, modified };
  return createSpecialNode(metadata, type, ...(entry.device ?? [0, 0]));
}

/** Whiteouts as the files that mean them in a host directory. */
export function withWhiteoutFiles(spec: Spec): Spec {
  const files: Record<string, SpecEntry> = {};
  for (const [name, entry] of inOrder(spec)) {
    const { whiteout, opaque, ...rest } = entry;
    if (whiteout) files[path.posix.join(path.dirname(name), `.wh.${path.basename(name)}`)] = "";
    else files[name] = rest;
    if (opaque) files[`${name}/.wh..wh..opq`] = "";
  }
  return files;
}

/** By a client of the union itself. */
export async function layInJournal(scratch: Scratch, spec: Spec): Promise<void> {
  for (const [name, entry] of inOrder(spec)) {
    const parts = path.posix.dirname(name).split("/");
    for (let depth = 1; depth <= parts.length && parts[0] !== "."; depth++) {
      const directory = `/${parts.slice(0, depth).join("/")}`;
      await scratch.find(directory).catch(() => scratch.makeDirectory(directory));
    }
    const type = typeOf(entry);
    const at = `/${name}`;
    const holder = await scratch.find(path.posix.dirname(at));
    const base = path.posix.basename(name);
    if (entry.whiteout) throw new Error("a journal's whiteouts are its own");
    if (entry.same !== undefined) await scratch.link(`/${entry.same}`, at);
    else if (type === FileType.directory) await scratch.makeDirectory(at);
    else if (type === FileType.symlink)
      await scratch.change((fs) => fs.createSymlink(root, holder, base, entry.target!, {}));
    else if (type === FileType.regular) await scratch.write(at, entry.content ?? "");
    else
      await scratch.change((fs) =>
        fs.createSpecial(root, holder, base, type, ...(entry.device ?? [0, 0]), { mode: 0o644 }),
      );
    if (type === FileType.symlink || entry.same !== undefined) continue;
    const { mode, uid, gid, seconds, nanoseconds = 0 } = entry;
    if (uid !== undefined || gid !== undefined) await scratch.set(at, { uid, gid });
    if (mode !== undefined) await scratch.set(at, { mode });
    if (seconds !== undefined) await scratch.set(at, { modified: { seconds, nanoseconds } });
  }
}
