/**
 * The checkpoints of a domain: `<domain>/checkpoints/<number>/`.
 *
 * (C1) The manifest is written last and removed first: a directory without one is rubbish of one that was not finished.
 */
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { XenoError } from "../../cowfs/errors.ts";
import { readStateFile, removeStateFile, writeStateFile } from "../state-file.ts";
import type { CheckpointManifest } from "./manifest.ts";
import { type MemoryDigest, readMemory, writeMemory } from "./memory-file.ts";

export class Checkpoints {
  readonly #domain: string;
  readonly #directory: string;

  /** `directory`: the domain's own. */
  constructor(domain: string, directory: string) {
    this.#domain = domain;
    this.#directory = join(directory, "checkpoints");
  }

  /** Oldest first. */
  async list(): Promise<CheckpointManifest[]> {
    const manifests: CheckpointManifest[] = [];
    for (const number of await this.#numbers()) {
      const manifest = await readStateFile<CheckpointManifest>(this.#manifestFile(number), 1);
      if (manifest !== undefined) manifests.push(manifest);
    }
    return manifests.sort((a, b) => a.number - b.number);
  }

  /** The one of this number, or the last. Throws `checkpoint-unknown`. */
  async get(number?: number): Promise<CheckpointManifest> {
    const manifests = await this.list();
    const found = number === undefined ? manifests.at(-1) : manifests.find((manifest) => manifest.number === number);
    if (found !== undefined) return found;
    const what = number === undefined ? "checkpoint" : `checkpoint ${number}`;
    throw new XenoError("checkpoint-unknown", `domain ${this.#domain} has no ${what}`, {
      hint: manifests.length > 0 ? "xeno checkpoint ls shows those that it has" : "xeno suspend takes one",
    });
  }

  /** The memory of a checkpoint to be; on stable storage when it settles. */
  async writeMemory(number: number, write: (to: Writable) => Promise<void>): Promise<MemoryDigest> {
    return await writeMemory(await this.prepare(number), write);
  }

  /** An empty place for a checkpoint to be: where its memory goes. */
  async prepare(number: number): Promise<string> {
    const directory = this.#directoryOf(number);
    await rm(directory, { recursive: true, force: true });
    await mkdir(directory, { recursive: true, mode: 0o700 });
    return join(directory, "memory");
  }

  /** Of a file beside its manifest. */
  pathOf(number: number, file: string): string {
    return join(this.#directoryOf(number), file);
  }

  /** From here on there is this checkpoint. */
  async keep(manifest: CheckpointManifest): Promise<void> {
    await writeStateFile(this.#manifestFile(manifest.number), manifest);
  }

  /** Fails with `checkpoint-damaged` before its end where it is not what was written. */
  readMemory({ number, memory }: CheckpointManifest): Readable {
    return readMemory(join(this.#directoryOf(number), "memory"), memory);
  }

  /** Of one that is, or was not finished. Missing is fine. */
  async remove(number: number): Promise<void> {
    await removeStateFile(this.#manifestFile(number));
    await rm(this.#directoryOf(number), { recursive: true, force: true });
  }

  /** Removes what was not finished, while nothing is under way. */
  async sweep(): Promise<void> {
    const known = new Set((await this.list()).map(({ number }) => number));
    for (const number of await this.#numbers()) if (!known.has(number)) await this.remove(number);
  }

  async #numbers(): Promise<number[]> {
    const names = await readdir(this.#directory).catch(() => []);
    return names.filter((name) => /^\d+$/.test(name)).map(Number);
  }

  #directoryOf(number: number): string {
    return join(this.#directory, String(number));
  }

  #manifestFile(number: number): string {
    return join(this.#directoryOf(number), "manifest.json");
  }
}
