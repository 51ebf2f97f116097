/**
 * Scrubbing: all that a closed journal holds is read and compared with its checksums. Nothing is changed.
 *
 * A torn record after the mark is no damage: nobody was promised it. What no round of checkpoints has seen has no checksums
 * by blocks; it is compared with those of the log's records (D3 in segment-sums.ts).
 */
import fs from "node:fs";
import path from "node:path";
import { XenoError } from "../errors.ts";
import { ChangeReader } from "./changes.ts";
import { loadCheckpoint, readCheckpoint } from "./checkpoint-file.ts";
import { realDisk } from "./disk.ts";
import { type Extent, lowerAddress } from "./extents.ts";
import { holdsJournal, Identity } from "./identity.ts";
import { takeLock } from "./lock.ts";
import { damagedLog, type LogPosition, listLogFiles, readLogHeader, scanLogFile } from "./log-file.ts";
import { Mark } from "./mark.ts";
import { pinPath } from "./pins.ts";
import { segmentBytes } from "./segment-use.ts";
import { Segments } from "./segments.ts";
import { JournalState } from "./state.ts";

export interface VerifiedJournal {
  /** In the log, since the last checkpoint. */
  readonly records: number;
  readonly inodes: number;
  readonly snapshots: number;
  /** Of segments, in all, and those that could be compared with checksums. */
  readonly bytes: number;
  readonly comparedBytes: number;
  /** One line for each thing that is damaged, naming the file; at most 1,000. */
  readonly damage: readonly string[];
}

export interface VerifyOptions {
  readonly signal: AbortSignal;
  onProgress?(doneBytes: number, totalBytes: number): void;
}

const pieceBytes = 1024 * 1024;
const maxDamage = 1000;

/** Rejects with `journal-unknown`, `in-use`, `journal-too-new`, or the signal's reason. Damage is no error, but told. */
export async function verifyJournal(directory: string, options: VerifyOptions): Promise<VerifiedJournal> {
  if (!holdsJournal(directory)) throw new XenoError("journal-unknown", `there is no journal in ${directory}`);
  const lock = takeLock(path.join(directory, "lock"), `the journal ${directory}`);
  const segments = new Segments(directory, realDisk);
  const verification = new Verification(directory, segments, options);
  try {
    return await verification.run();
  } finally {
    segments.close();
    fs.closeSync(lock);
  }
}

class Verification {
  readonly #directory: string;
  readonly #segments: Segments;
  readonly #options: VerifyOptions;
  readonly #damage = new Set<string>();
  readonly #state = new JournalState();
  /** The checkpoint's last record: pins before it have files. */
  #folded = 0;
  #records = 0;
  #bytes = 0;
  #comparedBytes = 0;

  constructor(directory: string, segments: Segments, options: VerifyOptions) {
    this.#directory = directory;
    this.#segments = segments;
    this.#options = options;
  }

  async run(): Promise<VerifiedJournal> {
    this.#note(() => new Identity(this.#directory).close());
    this.#note(() => this.#readLog());
    this.#note(() => this.#requireBytes(this.#state, this.#directory));
    for (const { name, position } of this.#state.pins.values()) {
      const file = pinPath(this.#directory, position);
      if (position.sequence >= this.#folded) continue;
      this.#note(() => {
        const state = new JournalState();
        if (!fs.existsSync(file)) throw damaged(`the snapshot ${name} has lost its file ${file}`);
        readCheckpoint(file, position.sequence, state);
        this.#requireBytes(state, file);
      });
      await this.#turn();
    }
    await this.#segments.catchUp();
    const all = this.#segments.list();
    const total = all.reduce((sum, [, size]) => sum + size, 0);
    for (const [segment, size] of all) await this.#readSegment(segment, size, total);
    return {
      records: this.#records,
      inodes: this.#state.inodes.size,
      snapshots: this.#state.pins.size,
      bytes: this.#bytes,
      comparedBytes: this.#comparedBytes,
      damage: [...this.#damage],
    };
  }

  #readLog(): void {
    const mark = new Mark(this.#directory);
    const marked = mark.read();
    mark.close();
    let position: LogPosition = loadCheckpoint(this.#directory, this.#state);
    this.#folded = position.sequence;
    for (const { path: filePath, first } of listLogFiles(this.#directory)) {
      if (first <= position.sequence) continue;
      const file = fs.openSync(filePath, "r");
      try {
        const header = readLogHeader(file, filePath);
        if (header?.sequence !== position.sequence || header.checksum !== position.checksum) break;
        position = scanLogFile(file, filePath, header, (payload) => this.#take(payload)).position;
      } finally {
        fs.closeSync(file);
      }
    }
    if (position.sequence < marked)
      throw damagedLog(
        this.#directory,
        `record ${position.sequence + 1} does not verify, and ${marked} had been synced`,
      );
  }

  #take(payload: Buffer): boolean {
    for (const change of new ChangeReader(payload).changes()) {
      this.#state.apply(change);
      if (change.kind !== "lay" || change.extent.address === lowerAddress) continue;
      const { address, length } = change.extent;
      this.#segments.noteWritten(address, length, change.checksum);
    }
    this.#records++;
    return true;
  }

  /** That all bytes that a state points at are there. */
  #requireBytes(state: JournalState, what: string): void {
    for (const id of state.inodes.ids())
      for (const extent of state.inodes.extentsOf(id))
        if (!this.#holds(extent)) throw damaged(`bytes of inode ${id} of ${what} are missing`);
  }

  #holds({ address, length }: Extent): boolean {
    if (address === lowerAddress) return true;
    for (let at = address; at < address + length; ) {
      const end = Math.min(address + length, (Math.floor(at / segmentBytes) + 1) * segmentBytes);
      if (!this.#segments.holds(at, end - at)) return false;
      at = end;
    }
    return true;
  }

  async #readSegment(segment: number, size: number, total: number): Promise<void> {
    const bytes = Buffer.allocUnsafe(pieceBytes);
    const isCompared = this.#segments.isSummed(segment);
    for (let at = 0; at < size; at += pieceBytes) {
      const length = Math.min(pieceBytes, size - at);
      this.#note(() => this.#segments.read(segment * segmentBytes + at, length, bytes, 0));
      this.#bytes += length;
      if (isCompared) this.#comparedBytes += length;
      this.#options.onProgress?.(this.#bytes, total);
      await this.#turn();
    }
  }

  async #turn(): Promise<void> {
    await new Promise(setImmediate);
    this.#options.signal.throwIfAborted();
  }

  #note(look: () => void): void {
    try {
      look();
    } catch (error) {
      if (!(error instanceof XenoError) || error.code !== "journal-damaged") throw error;
      if (this.#damage.size < maxDamage) this.#damage.add(error.message);
    }
  }
}

function damaged(what: string): XenoError {
  return new XenoError("journal-damaged", what);
}
