/**
 * Fetching a published checkpoint: its files out of a sealed tree, each chunk verified on the way, into a domain's directory.
 *
 * What signs it decides what code runs here, with the guest's memory in the hypervisor's hands: only who the operator trusts as
 * `xenoserver+NAME` does. The manifest is checked like any document that came from outside; the names of the journal's files are
 * taken only as a journal of ours has them.
 */
import { createWriteStream } from "node:fs";
import { mkdir, open } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Check } from "typebox/value";
import { XenoError } from "../../cowfs/errors.ts";
import { runWithFaults } from "../../cowfs/fault.ts";
import { FileType } from "../../cowfs/file-system.ts";
import { type Tree, whiteout } from "../../cowfs/trees/tree.ts";
import { parseOverlayUrl } from "../../xenostore/refs/overlay-url.ts";
import { syncDirectory } from "../state-file.ts";
import { CheckpointManifest } from "./manifest.ts";
import { checkpointOwnerPrefix } from "./publish-checkpoint.ts";

const maxManifestBytes = 4 * 1024 * 1024;
const maxFileBytes = 2 ** 42;
const maxFiles = 100_000;
const pieceBytes = 1024 * 1024;
/** cowfs/journals/README.md: what lies in a journal's directory. */
const journalFile = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

/** Throws `checkpoint-invalid` for a URL that names no checkpoint. */
export function requireCheckpointUrl(url: string): void {
  if (parseOverlayUrl(url).owner.startsWith(checkpointOwnerPrefix)) return;
  throw new XenoError("checkpoint-invalid", `${url} is no checkpoint`, {
    hint: `a checkpoint is xenostore://${checkpointOwnerPrefix}SERVER/DOMAIN@VERSION: xeno checkpoint publish tells it`,
  });
}

/** The manifest in a checkpoint's tree. Throws `checkpoint-invalid`. */
export async function readManifest(tree: Tree, url: string, signal: AbortSignal): Promise<CheckpointManifest> {
  const pieces: Buffer[] = [];
  for await (const piece of readFile(tree, 0, "manifest.json", maxManifestBytes, url, signal)) pieces.push(piece);
  try {
    const value: unknown = JSON.parse(Buffer.concat(pieces).toString("utf8"));
    if (Check(CheckpointManifest, value)) return value;
  } catch {}
  throw invalid(url, "its manifest is none of format 1");
}

/** Writes memory and journal; on stable storage when it settles. */
export async function fetchFiles(
  tree: Tree,
  url: string,
  { memoryFile, journal }: { readonly memoryFile: string; readonly journal: string },
  signal: AbortSignal,
): Promise<void> {
  let files = 0;
  const write = async (directory: number, name: string, file: string) => {
    if (++files > maxFiles) throw invalid(url, "its journal has too many files");
    const content = Readable.from(readFile(tree, directory, name, maxFileBytes, url, signal));
    await pipeline(content, createWriteStream(file, { flags: "wx", mode: 0o600 }), { signal });
    const handle = await open(file, "r");
    await handle.sync().finally(() => handle.close());
  };
  await write(0, "memory", memoryFile);
  const copy = async (inode: number, directory: string, depth: number) => {
    await mkdir(directory, { mode: 0o700 });
    for (let at = 0; at < tree.entryCount(inode); at++) {
      const entry = tree.firstEntry(inode) + at;
      const name = tree.entryName(entry);
      const child = tree.entryInode(entry);
      if (!journalFile.test(name) || child === whiteout) throw invalid(url, "its journal has a file of another name");
      if (!isDirectory(tree, child)) await write(inode, name, join(directory, name));
      else if (depth === 0) await copy(child, join(directory, name), depth + 1);
      else throw invalid(url, "its journal is too deep");
    }
    await syncDirectory(directory);
  };
  const found = tree.find(0, "journal");
  if (found < 0 || found === whiteout || !isDirectory(tree, found)) throw invalid(url, "it has no journal");
  await copy(found, journal, 0);
}

async function* readFile(
  tree: Tree,
  directory: number,
  name: string,
  maxBytes: number,
  url: string,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const inode = tree.find(directory, name);
  const isFile = inode >= 0 && inode !== whiteout && (tree.mode(inode) & FileType.mask) === FileType.regular;
  if (!isFile || tree.size(inode) > maxBytes) throw invalid(url, isFile ? `its ${name} is too large` : `no ${name}`);
  const size = tree.size(inode);
  for (let offset = 0; offset < size; offset += pieceBytes) {
    const length = Math.min(pieceBytes, size - offset);
    const piece = Buffer.alloc(length);
    await runWithFaults(() => tree.read(inode, offset, length, piece, 0), signal);
    yield piece;
  }
}

function isDirectory(tree: Tree, inode: number): boolean {
  return (tree.mode(inode) & FileType.mask) === FileType.directory;
}

function invalid(url: string, reason: string): XenoError {
  return new XenoError("checkpoint-invalid", `${url} is no checkpoint that can be resumed: ${reason}`, {
    hint: "publish it again with a XenoServer of this version",
  });
}
