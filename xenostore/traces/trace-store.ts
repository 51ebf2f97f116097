/**
 * Where boot traces are kept: in the cache beside the tree they speak of, and in the store for all others.
 *
 * A trace is a hint: one that cannot be had, or not be written (many stores are read-only to a XenoServer), is a boot
 * that is slower and nothing more. So nothing here rejects.
 */
import fs from "node:fs/promises";
import path from "node:path";
import { XenoError } from "../../cowfs/errors.ts";
import { keepFile } from "../pull/keep-file.ts";
import type { ObjectStore } from "../stores/object-store.ts";
import { type BootTrace, decodeTrace, encodeTrace, maxTraceBytes, traceKey } from "./boot-trace.ts";

const deadlineMs = 30_000;

export class TraceStore {
  readonly #store: ObjectStore;
  readonly #treesDirectory: string;
  readonly #log: (text: string) => void;

  constructor(store: ObjectStore, treesDirectory: string, log: (text: string) => void = () => {}) {
    this.#store = store;
    this.#treesDirectory = treesDirectory;
    this.#log = log;
  }

  /** The trace of what was booted from a tree, if there is one. */
  async find(treeId: string): Promise<BootTrace | undefined> {
    const kept = await fs.readFile(this.#file(treeId)).catch(() => undefined);
    const known = kept === undefined ? undefined : this.#decode(treeId, kept);
    if (known !== undefined) return known;
    const bytes = await this.#fetch(treeId);
    const trace = bytes === undefined ? undefined : this.#decode(treeId, bytes);
    if (trace !== undefined) await this.#keep(treeId, bytes!);
    return trace;
  }

  /** Keeps a trace here, and puts it into the store in place of the one that is there. */
  async put(treeId: string, trace: BootTrace): Promise<void> {
    const bytes = encodeTrace(trace);
    if (bytes.length > maxTraceBytes) return;
    await this.#keep(treeId, bytes);
    try {
      const before = await this.#fetch(treeId);
      if (!before?.equals(bytes)) await this.#store.compareAndSet(traceKey(treeId), before, bytes);
    } catch (error) {
      this.#log(`the boot trace of ${treeId} stays here: ${error}`);
    }
  }

  async #fetch(treeId: string): Promise<Buffer | undefined> {
    const signal = AbortSignal.timeout(deadlineMs);
    try {
      return await this.#store.get(traceKey(treeId), { maximumBytes: maxTraceBytes, signal });
    } catch (error) {
      if (!(error instanceof XenoError && error.code === "object-missing"))
        this.#log(`no boot trace of ${treeId}: ${error}`);
      return undefined;
    }
  }

  #decode(treeId: string, bytes: Buffer): BootTrace | undefined {
    try {
      return decodeTrace(bytes);
    } catch (error) {
      this.#log(`no boot trace of ${treeId}: ${error}`);
      return undefined;
    }
  }

  async #keep(treeId: string, bytes: Buffer): Promise<void> {
    try {
      await keepFile(this.#file(treeId), bytes);
    } catch (error) {
      this.#log(`the boot trace of ${treeId} is not kept: ${error}`);
    }
  }

  #file(treeId: string): string {
    return path.join(this.#treesDirectory, treeId, "trace");
  }
}
