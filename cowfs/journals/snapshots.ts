/** The snapshots of an open journal: taking, listing and dropping pins (pins.ts), and forking from one (fork.ts). */
import fs from "node:fs";
import { XenoError } from "../errors.ts";
import { runWithFaults } from "../fault.ts";
import type { Checkpoints } from "./checkpoints.ts";
import { type ForkLineage, makeFork } from "./fork.ts";
import type { Journal } from "./journal.ts";
import { maxPins, type Pin, pinPath, requirePinName, unknownPin } from "./pins.ts";
import type { Segments } from "./segments.ts";

export interface Snapshot {
  readonly name: string;
  /** Ms since the epoch. */
  readonly created: number;
  /** How many records it has, since the journal was made. */
  readonly sequence: number;
  /** Bytes of segments that nothing but this pin keeps. */
  readonly heldBytes: number;
}

const pinBytes = 512;
const roomDeadlineMs = 60_000;
const segmentEntryBytes = 8;
const nothing = Buffer.alloc(0);

export class Snapshots {
  readonly #journal: Journal;
  readonly #segments: Segments;
  readonly #checkpoints: Checkpoints;
  /** Pins that are being forked from, with how often. */
  readonly #forking = new Map<string, number>();

  constructor(journal: Journal, segments: Segments, checkpoints: Checkpoints) {
    this.#journal = journal;
    this.#checkpoints = checkpoints;
    this.#segments = segments;
  }

  /**
   * Pins what the journal shows now, in the turn of the call unless room must be made; settles once that is on stable
   * storage. Rejects with `pin-exists`, `pins-full`, `pin-name-invalid`, or what a transaction throws; then there is no pin.
   */
  async take(name: string): Promise<Snapshot> {
    requirePinName(name);
    const pin = await runWithFaults(() => this.#log(name), AbortSignal.timeout(roomDeadlineMs));
    await this.#journal.sync();
    return this.#describe(pin);
  }

  #log(name: string): Pin {
    const { state } = this.#journal;
    if (state.pins.has(name))
      throw new XenoError("pin-exists", `the journal ${this.#journal.directory} has a pin ${name} already`, {
        hint: "Choose another name, or drop that one first.",
      });
    if (state.pins.size >= maxPins)
      throw new XenoError("pins-full", `the journal ${this.#journal.directory} has its ${maxPins} pins`, {
        hint: "Drop one that is not needed any more.",
      });
    this.#journal.room.require(this.#journal.room.pinBytes, 0);
    const segments = state.use.liveSegments().sort((a, b) => a - b);
    const last = segments.at(-1);
    if (last !== undefined) this.#segments.appendAfter(last);
    const pin: Pin = {
      name,
      position: this.#journal.position,
      created: Date.now(),
      segments: segments.map((segment) => ({ segment, bytes: this.#segments.sizeOf(segment) })),
    };
    const log = () => {
      this.#journal.apply({ kind: "pin", pin });
      return nothing;
    };
    this.#journal.transact(undefined, log, pinBytes + segments.length * segmentEntryBytes);
    this.#checkpoints.countPins();
    return pin;
  }

  /** Oldest first. */
  list(): Snapshot[] {
    const pins = [...this.#journal.state.pins.values()];
    return pins.sort((a, b) => a.position.sequence - b.position.sequence).map((pin) => this.#describe(pin));
  }

  /**
   * What only the pin keeps goes with the next rounds of checkpoints. Settles once the drop is on stable storage. Rejects
   * with `pin-unknown`, and with `pin-busy` while the pin is forked from.
   */
  async drop(name: string): Promise<void> {
    this.#find(name);
    if (this.#forking.has(name))
      throw new XenoError("pin-busy", `the pin ${name} of ${this.#journal.directory} is being forked from`, {
        hint: "Try again when the fork is made.",
      });
    const log = () => {
      this.#journal.apply({ kind: "unpin", name });
      return nothing;
    };
    this.#journal.transact(undefined, log, pinBytes);
    this.#checkpoints.countPins();
    await this.#journal.sync();
  }

  /**
   * Makes a journal of its own in `directory`, which must not exist, that shows what this one showed at the pin. Rejects
   * with `pin-unknown`, `journal-exists`, or what the disk says; then there is no new journal.
   */
  async fork(name: string, directory: string, lineage: ForkLineage): Promise<void> {
    const pin = this.#find(name);
    this.#forking.set(name, (this.#forking.get(name) ?? 0) + 1);
    try {
      const pathOf = (segment: number) => this.#segments.pathOf(segment);
      await makeFork(this.#journal, pin, pathOf, directory, lineage, () => this.#keepState(pin));
    } finally {
      const count = this.#forking.get(name)! - 1;
      if (count > 0) this.#forking.set(name, count);
      else this.#forking.delete(name);
    }
  }

  /** Folds up to the pin, where no fold has passed it yet. */
  async #keepState(pin: Pin): Promise<void> {
    const file = pinPath(this.#journal.directory, pin.position);
    // The round that runs may have begun before the pin was taken.
    for (let rounds = 0; rounds < 2 && !fs.existsSync(file); rounds++) await this.#journal.checkpoint();
    if (fs.existsSync(file)) return;
    throw new XenoError("journal-damaged", `the pin ${pin.name} has lost its file ${file}`, {
      hint: "The journal goes on without: drop the pin. Restore the file from a copy to fork from it.",
    });
  }

  #find(name: string): Pin {
    const pin = this.#journal.state.pins.get(name);
    if (pin === undefined) throw unknownPin(this.#journal.directory, name);
    return pin;
  }

  #describe({ name, created, position, segments }: Pin): Snapshot {
    const { use } = this.#journal.state;
    const only = segments.filter(({ segment }) => use.pins(segment) === 1 && use.live(segment) === 0);
    return { name, created, sequence: position.sequence, heldBytes: only.reduce((sum, { bytes }) => sum + bytes, 0) };
  }
}
