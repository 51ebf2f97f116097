/**
 * Kernels as files that a hypervisor can load: taken out of their trees once, verified on the way, whole or not at all.
 */
import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { mkdir, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Type } from "typebox";
import { Check } from "typebox/value";
import { XenoError } from "../../cowfs/errors.ts";
import { runWithFaults } from "../../cowfs/fault.ts";
import { FileType } from "../../cowfs/file-system.ts";
import { type Tree, whiteout } from "../../cowfs/trees/tree.ts";
import type { KernelConfiguration } from "../../templates/kernel/build-kernel.ts";
import type { Layers } from "../../templates/layers/open-layers.ts";
import { SerialQueues } from "../serial-queues.ts";
import { syncDirectory } from "../state-file.ts";

export interface KernelImage {
  readonly kernel: string;
  readonly initramfs: string;
  readonly commandLine: string;
}

/** config.json decides what is read next: a template's publisher is trusted to be run, but not with our paths or memory. */
const FileName = Type.String({ pattern: "^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$" });
const Configuration = Type.Object({
  format: Type.Literal(1),
  kernel: FileName,
  initramfs: FileName,
  commandLine: Type.String({ pattern: "^[ -~]*$", maxLength: 1024 }),
});
const maxConfigurationBytes = 64 * 1024;
const maxImageBytes = 512 * 1024 * 1024;
const pieceBytes = 1024 * 1024;

export class KernelImages {
  readonly #directory: string;
  readonly #layers: Layers;
  readonly #openAlone: (cacheDirectory: string) => Layers;
  readonly #queues = new SerialQueues();

  /**
   * A kernel that lies in an overlay is taken out through a cache of its own, which `openAlone` opens: the file server may have
   * that overlay open, and a cached tree has one owner.
   */
  constructor(directory: string, layers: Layers, openAlone: (cacheDirectory: string) => Layers = () => layers) {
    this.#directory = directory;
    this.#layers = layers;
    this.#openAlone = openAlone;
  }

  /** Removes what an extraction left that was killed. */
  async sweep(): Promise<void> {
    for (const name of await readdir(this.#directory).catch(() => []))
      if (name.endsWith(".tmp")) await rm(join(this.#directory, name), { recursive: true, force: true });
  }

  /** The files of the kernel template `url`, which was resolved to `tree`; or of a directory of that tree. */
  prepare(url: string, tree: string, signal: AbortSignal, folder = ""): Promise<KernelImage> {
    const id = folder === "" ? tree : `${tree}-${createHash("sha256").update(folder).digest("hex").slice(0, 16)}`;
    return this.#queues.run(id, async () => {
      const directory = join(this.#directory, id);
      const text = await readFile(join(directory, "config.json"), "utf8").catch(() =>
        this.#extract({ url, tree, folder, id }, signal),
      );
      const { kernel, initramfs, commandLine } = parseConfiguration(url, text);
      return { kernel: join(directory, kernel), initramfs: join(directory, initramfs), commandLine };
    });
  }

  async #extract({ url, tree: pinned, folder, id }: Extraction, signal: AbortSignal): Promise<string> {
    const temporary = join(this.#directory, `${id}.tmp`);
    const cache = join(this.#directory, `${id}-cache.tmp`);
    const layers = folder === "" ? this.#layers : this.#openAlone(cache);
    try {
      return await this.#takeOut(layers, { url, tree: pinned, folder, id }, temporary, signal);
    } finally {
      if (layers !== this.#layers) await layers.close();
      await rm(cache, { recursive: true, force: true });
    }
  }

  async #takeOut(
    layers: Layers,
    { url, tree: pinned, folder, id }: Extraction,
    temporary: string,
    signal: AbortSignal,
  ): Promise<string> {
    const { tree, close } = await layers.open(url, pinned, signal);
    try {
      const where = { url, tree, directory: findFolder(url, tree, folder) };
      await rm(temporary, { recursive: true, force: true });
      await mkdir(temporary, { recursive: true, mode: 0o700 });
      const text = (await collect(readPieces(where, "config.json", maxConfigurationBytes, signal))).toString("utf8");
      const { kernel, initramfs } = parseConfiguration(url, text);
      for (const name of new Set([kernel, initramfs, "config.json"])) {
        const file = join(temporary, name);
        const content = Readable.from(readPieces(where, name, maxImageBytes, signal));
        await pipeline(content, createWriteStream(file, { flags: "wx", mode: 0o600 }));
        await syncFile(file);
      }
      await syncDirectory(temporary);
      await rename(temporary, join(this.#directory, id));
      await syncDirectory(this.#directory);
      return text;
    } catch (cause) {
      await rm(temporary, { recursive: true, force: true });
      if (cause instanceof XenoError || signal.aborted) throw cause;
      throw new XenoError("kernel-not-written", `cannot take ${url} out: ${(cause as Error).message}`, {
        hint: "free disk space under $XENO_HOME",
        cause,
      });
    } finally {
      await close();
    }
  }
}

interface Extraction {
  readonly url: string;
  readonly tree: string;
  readonly folder: string;
  /** Of the extracted files. */
  readonly id: string;
}

/** The directory's inode. Links are not followed: a path of a publisher's leads nowhere else. */
function findFolder(url: string, tree: Tree, folder: string): number {
  let directory = 0;
  for (const name of folder.split("/").filter((part) => part !== "")) {
    directory = tree.find(directory, Buffer.from(name, "utf8").toString("latin1"));
    const isDirectory =
      directory >= 0 && directory !== whiteout && (tree.mode(directory) & FileType.mask) === FileType.directory;
    if (!isDirectory) throw notAKernel(url, `it has no directory ${folder}`);
  }
  return directory;
}

async function* readPieces(
  { url, tree, directory }: { url: string; tree: Tree; directory: number },
  name: string,
  maxBytes: number,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const inode = tree.find(directory, name);
  const isFile = inode >= 0 && inode !== whiteout && (tree.mode(inode) & FileType.mask) === FileType.regular;
  if (!isFile || tree.size(inode) > maxBytes) throw notAKernel(url, isFile ? `its ${name} is too large` : `no ${name}`);
  const size = tree.size(inode);
  for (let offset = 0; offset < size; offset += pieceBytes) {
    const length = Math.min(pieceBytes, size - offset);
    const piece = Buffer.alloc(length);
    await runWithFaults(() => tree.read(inode, offset, length, piece, 0), signal);
    yield piece;
  }
}

function parseConfiguration(
  url: string,
  text: string,
): Pick<KernelConfiguration, "kernel" | "initramfs" | "commandLine"> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {}
  if (Check(Configuration, value)) return value;
  throw notAKernel(url, "its config.json is not of format 1");
}

function notAKernel(url: string, reason: string): XenoError {
  return new XenoError("kernel-unusable", `${url} is no kernel template: ${reason}`, {
    hint: "xeno template ls shows which there are",
  });
}

async function collect(pieces: AsyncIterable<Buffer>): Promise<Buffer> {
  const collected: Buffer[] = [];
  for await (const piece of pieces) collected.push(piece);
  return Buffer.concat(collected);
}

async function syncFile(file: string): Promise<void> {
  const handle = await open(file, "r");
  await handle.sync().finally(() => handle.close());
}
