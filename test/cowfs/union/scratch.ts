/** A union for a test: its journal in a scratch directory, its layers from a table, and paths instead of ids. */
import fs from "node:fs";
import path from "node:path";
import type { XenoError } from "../../../cowfs/errors.ts";
import { runWithFaults } from "../../../cowfs/fault.ts";
import type { AttributeChange, FileId, FileSystem } from "../../../cowfs/file-system.ts";
import type { LiveSource } from "../../../cowfs/layers/live/live-files.ts";
import type { TreeNode } from "../../../cowfs/trees/node.ts";
import { openUnion, type UnionFileSystem } from "../../../cowfs/union/union.ts";
import { makeFastDirectory } from "../fast-directory.ts";
import { resolveFrom } from "./layers.ts";
import { root } from "./snapshot.ts";

const signal = AbortSignal.timeout(600_000);

export interface ScratchOptions {
  /** By URL. May be changed while the union is open. */
  readonly layers: Record<string, TreeNode>;
  readonly live?: Record<string, LiveSource>;
  readonly base?: string;
  readonly journal?: string;
}

export async function openScratch(
  t: { teardown(clean: () => unknown): void },
  options: ScratchOptions,
): Promise<Scratch> {
  const journal = options.journal ?? makeFastDirectory();
  const scratch = new Scratch(journal, options);
  await scratch.open();
  t.teardown(async () => {
    await scratch.close();
    fs.rmSync(journal, { recursive: true, force: true });
  });
  return scratch;
}

export class Scratch {
  readonly journal: string;
  readonly errors: XenoError[] = [];
  readonly #options: ScratchOptions;
  #union: UnionFileSystem | undefined;

  constructor(journal: string, options: ScratchOptions) {
    this.journal = journal;
    this.#options = options;
  }

  get fs(): UnionFileSystem {
    return this.#union!;
  }

  async open(): Promise<void> {
    this.#union = await openUnion({
      journal: this.journal,
      base: this.#options.base,
      resolve: resolveFrom(this.#options.layers, this.#options.live),
      onMountError: (error) => this.errors.push(error),
      signal,
    });
  }

  async close(): Promise<void> {
    const union = this.#union;
    this.#union = undefined;
    await union?.close();
  }

  async reopen(): Promise<void> {
    await this.close();
    await this.open();
  }

  /** Runs an operation as a server does: until it faults no more. */
  async run<T>(operation: (fs: FileSystem) => T): Promise<T> {
    return await runWithFaults(() => operation(this.fs), signal);
  }

  /** Runs a change as one transaction. */
  async change<T>(change: (fs: FileSystem) => T): Promise<T> {
    let result: T | undefined;
    await this.run((fs) =>
      fs.transact(undefined, () => {
        result = change(fs);
        return Buffer.alloc(0);
      }),
    );
    return result as T;
  }

  async find(at: string): Promise<FileId> {
    return await this.run((fs) => walk(fs, at));
  }

  async names(at: string): Promise<string[]> {
    return await this.run((fs) =>
      fs
        .list(root, walk(fs, at), 0, 100_000)
        .map(({ name }) => name)
        .sort(),
    );
  }

  async read(at: string): Promise<string> {
    return await this.run((fs) => {
      const id = walk(fs, at);
      const bytes = Buffer.alloc(fs.getAttributes(id).size);
      return bytes.toString("latin1", 0, fs.read(root, id, 0, bytes.length, bytes, 0));
    });
  }

  /** Makes a file or replaces its content. */
  async write(at: string, content: string): Promise<FileId> {
    const id = await this.change((fs) =>
      fs.createFile(
        root,
        walk(fs, path.dirname(at)),
        path.basename(at),
        { mode: 0o644, size: 0 },
        { kind: "unchecked" },
      ),
    );
    if (content !== "") await this.change((fs) => fs.write(root, id, 0, Buffer.from(content, "latin1")));
    return id;
  }

  async makeDirectory(at: string): Promise<FileId> {
    return await this.change((fs) =>
      fs.createDirectory(root, walk(fs, path.dirname(at)), path.basename(at), { mode: 0o755 }),
    );
  }

  async remove(at: string): Promise<void> {
    await this.change((fs) => fs.removeFile(root, walk(fs, path.dirname(at)), path.basename(at)));
  }

  async removeDirectory(at: string): Promise<void> {
    await this.change((fs) => fs.removeDirectory(root, walk(fs, path.dirname(at)), path.basename(at)));
  }

  async rename(from: string, to: string): Promise<void> {
    await this.change((fs) =>
      fs.rename(root, walk(fs, path.dirname(from)), path.basename(from), walk(fs, path.dirname(to)), path.basename(to)),
    );
  }

  async link(from: string, to: string): Promise<void> {
    await this.change((fs) => fs.link(root, walk(fs, from), walk(fs, path.dirname(to)), path.basename(to)));
  }

  async set(at: string, change: AttributeChange): Promise<void> {
    await this.change((fs) => fs.setAttributes(root, walk(fs, at), change));
  }
}

function walk(fs: FileSystem, at: string): FileId {
  let id = fs.rootId;
  for (const name of at.split("/").filter((part) => part !== "" && part !== ".")) id = fs.lookup(root, id, name);
  return id;
}
