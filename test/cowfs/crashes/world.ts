/**
 * What a run of crashes has to do with: the model that runs along, what was done to both, and how a journal is opened.
 */
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import type { FileSystem } from "../../../cowfs/file-system.ts";
import { type FoldTask, foldLog } from "../../../cowfs/journals/fold.ts";
import { openUnion, type UnionFileSystem } from "../../../cowfs/union/union.ts";
import { choose, createRandom, type Random } from "../../random.ts";
import { makeFastDirectory } from "../fast-directory.ts";
import { modelOf } from "../union/fill-model.ts";
import { type Operation, perform } from "../union/operations.ts";
import { type Seen, snapshot } from "../union/snapshot.ts";
import { resolve, stacks, warmUp } from "../union/stacks.ts";
import type { Kept } from "./kept-pins.ts";
import { setBootId } from "./recorder.ts";

/** Small, so that a few dozen operations bring rounds of checkpoints and of compaction about. */
export const livingLimits = {
  logBytes: 3000,
  closingLogBytes: 1500,
  fullSegmentBytes: 256,
  fold: async (task: FoldTask) => foldLog(task),
};

/** Who only looks folds nothing. */
export const lookingLimits = {
  ...livingLimits,
  logBytes: Number.POSITIVE_INFINITY,
  closingLogBytes: Number.POSITIVE_INFINITY,
};

export interface CrashRunOptions {
  readonly seed: number;
  /** How often the journal is opened, changed and crashed. */
  readonly lives: number;
  /** Operations of a life. */
  readonly operations: number;
  /** Whether the disk refuses some calls in each life. */
  readonly trouble?: boolean;
  /** Crashes that are tried out in each life; one of them is how it ends. */
  readonly cuts: number;
  readonly count: (what: string, by?: number) => void;
}

/** What a journal had promised, and begun, when so much had happened to the disk. */
export interface Moment {
  readonly steps: number;
  /** These survive the death of the process. */
  readonly flushed: number;
  /** And these that of the host. */
  readonly stable: number;
  readonly begun: number;
  /** The lowest inode number that no client has seen. */
  readonly nextInode: number;
  readonly verifier: string;
  readonly isClosed: boolean;
  /** Of the host. */
  readonly boot: number;
  readonly kept: Kept;
}

export const firstMoment: Moment = {
  steps: 0,
  flushed: 0,
  stable: 0,
  begun: 0,
  nextInode: 0,
  verifier: "",
  isClosed: true,
  boot: 0,
  kept: new Map(),
};

const signal = AbortSignal.timeout(24 * 3_600_000);

export class CrashWorld {
  readonly options: CrashRunOptions;
  readonly random: Random;
  readonly makeModel: () => FileSystem;
  /** What was done and stayed; what the model shows after so many of them. */
  readonly operations: Operation[] = [];
  readonly states: Record<string, Seen>[] = [];
  readonly #base: string | undefined;
  readonly #home = makeFastDirectory();
  #directories = 0;

  constructor(options: CrashRunOptions) {
    this.options = options;
    this.random = createRandom(options.seed);
    const { base, layers } = choose(this.random, Object.values(stacks));
    this.#base = base;
    this.makeModel = () => modelOf(layers);
    this.states.push(snapshot(this.makeModel()));
  }

  [Symbol.dispose](): void {
    setBootId(undefined);
    fs.rmSync(this.#home, { recursive: true, force: true });
  }

  newDirectory(): string {
    return path.join(this.#home, String(this.#directories++));
  }

  open(disk: string, boot: number, limits = livingLimits): Promise<UnionFileSystem> {
    return this.openJournal(path.join(disk, "journal"), boot, limits);
  }

  async openJournal(journal: string, boot: number, limits: typeof livingLimits): Promise<UnionFileSystem> {
    setBootId(`boot-${boot}`);
    const union = await openUnion({ journal, base: this.#base, resolve, signal, limits });
    if (this.#base !== undefined) await warmUp(union);
    return union;
  }

  /** Does what the union did. */
  follow(model: FileSystem, step: Operation, found: string): void {
    const expected = perform(model, step);
    assert.equal(found, expected, `${JSON.stringify(step)}: ${found}, the model says ${expected}`);
    if (found !== "ok") return;
    this.operations.push(step);
    this.states.push(snapshot(model));
  }

  /** A crash has lost all changes but so many. */
  forgetAfter(changes: number): void {
    this.operations.length = changes;
    this.states.length = changes + 1;
  }
}

/** The request that makes a change; they are counted from 1. */
export function keyOf(change: number): string {
  return change.toString(16).padStart(32, "0");
}
