/**
 * Advisory byte-range locks, as fcntl(2) has them: of files that several clients share, also clients of different exports.
 *
 * - (K1) No two owners hold overlapping ranges of a file of which one is exclusive.
 * - (K2) What an owner locks replaces what it held there; what it unlocks may split a range in two.
 * - (K3) What a client holds is bounded, and so is what an export's clients do, whatever they call themselves; it is gone when
 *   the client is.
 * - (K4) Where the table has a file, the next process has the locks of the one before (lock-file.ts).
 * - (K5) What a guest held ends with its life, also where the next one began while nobody was there to be told.
 */
import { type LockChange, LockFile } from "./lock-file.ts";

/** Who holds or wants a lock: `client` is let go as a whole. Its name begins with that of its export and a space. */
export interface LockOwner {
  readonly client: string;
  /** A process of the client. */
  readonly process: string;
}

/** Bytes `start` up to `end`; Infinity: to the end of the file, however far that is. */
export interface LockRange {
  readonly start: number;
  readonly end: number;
  readonly isExclusive: boolean;
}

export interface HeldLock extends LockRange {
  readonly owner: LockOwner;
}

const maxLocksOfClient = 1024;
const maxLocksOfExport = 16_384;

export class LockTable {
  readonly #files = new Map<string, HeldLock[]>();
  readonly #counts = new Map<string, number>();
  readonly #exportCounts = new Map<string, number>();
  /** The boot epoch in which each export's clients took what they hold, and the one that they are in. */
  readonly #heldIn = new Map<string, number>();
  readonly #lives = new Map<string, number>();
  readonly #log: LockFile | undefined;
  readonly #listeners = new Set<(file: string | undefined) => void>();

  /** `file`: where its locks are kept for the next process. `others`: such files of tables that this one takes the place of. */
  constructor(file?: string, others: readonly string[] = []) {
    if (file === undefined) return;
    const log = new LockFile(file);
    for (const change of log.read()) this.#apply(change);
    this.#log = log;
    for (const other of others) for (const change of new LockFile(other).read()) this.#change(change);
  }

  /** The first lock that keeps an owner from a range. */
  findConflict(file: string, owner: LockOwner, wanted: LockRange): HeldLock | undefined {
    return this.#files
      .get(file)
      ?.find((held) => !isSame(held.owner, owner) && overlap(held, wanted) && (held.isExclusive || wanted.isExclusive));
  }

  /** Takes a range that nothing keeps from its owner; false where there is no room for it: a bound, or the file's disk. */
  lock(file: string, { client, process }: LockOwner, { start, end, isExclusive }: LockRange): boolean {
    // It may leave two parts of one that it splits, and itself.
    if ((this.#counts.get(client) ?? 0) + 2 > maxLocksOfClient) return false;
    if ((this.#exportCounts.get(exportOf(client)) ?? 0) + 2 > maxLocksOfExport) return false;
    const life = this.#lives.get(exportOf(client));
    const isNew = life !== undefined && this.#heldIn.get(exportOf(client)) !== life;
    if (isNew && !this.#change(["life", exportOf(client), life])) return false;
    return this.#change(["lock", file, client, process, start, toJson(end), isExclusive]);
  }

  /** Called after each change of a file's locks; without a file, of any. Returns what ends that. */
  onChange(listener: (file: string | undefined) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** What an owner holds of a range, without what lies outside. */
  listHeld(file: string, owner: LockOwner, { start, end }: Omit<LockRange, "isExclusive">): LockRange[] {
    return (this.#files.get(file) ?? [])
      .filter((held) => isSame(held.owner, owner) && overlap(held, { start, end }))
      .map((held) => ({ ...held, start: Math.max(held.start, start), end: Math.min(held.end, end) }));
  }

  unlock(file: string, { client, process }: LockOwner, { start, end }: Omit<LockRange, "isExclusive">): void {
    const change = ["unlock", file, client, process, start, toJson(end)] as const;
    if (!this.#change(change)) this.#apply(change);
  }

  /** Lets go of all that a client holds (K3). */
  release(client: string): void {
    this.#release(["release", client, true]);
  }

  /** The clients of an export are in this boot epoch: what they held in another is let go (K5). */
  startLife(name: string, epoch: number): void {
    this.#lives.set(name, epoch);
    const held = this.#heldIn.get(name);
    if (held !== undefined && held !== epoch) this.releaseAll(`${name} `);
  }

  /** Of all clients whose name begins so: those of an export. */
  releaseAll(prefix: string): void {
    this.#release(["release", prefix, false]);
  }

  get count(): number {
    let count = 0;
    for (const locks of this.#files.values()) count += locks.length;
    return count;
  }

  #release(change: LockChange & ["release", ...unknown[]]): void {
    const [, prefix, isWhole] = change;
    if (![...this.#counts.keys()].some(names(prefix, isWhole))) return;
    if (!this.#change(change)) this.#apply(change);
  }

  /** Notes a change and makes it; false, and nothing of it, where it cannot be noted. */
  #change(change: LockChange): boolean {
    try {
      if (this.#log?.mustWrite(this.count)) this.#log.write(this.#list());
      this.#log?.append(change);
    } catch {
      return false;
    }
    this.#apply(change);
    return true;
  }

  #apply(change: LockChange): void {
    if (change[0] === "life") {
      this.#heldIn.set(change[1], change[2]);
      return;
    }
    if (change[0] === "release") this.#releaseWhere(names(change[1], change[2]));
    else this.#applyToFile(change);
    for (const listener of this.#listeners) listener(change[0] === "release" ? undefined : change[1]);
  }

  #applyToFile(change: Extract<LockChange, readonly ["lock" | "unlock", ...unknown[]]>): void {
    const [kind, file, client, process, start, last] = change;
    const owner = { client, process };
    const range = { start, end: last ?? Number.POSITIVE_INFINITY };
    const added = kind === "lock" ? [{ ...range, isExclusive: change[6], owner }] : [];
    this.#replace(file, owner, range, added);
  }

  /** As the changes that lead there. */
  #list(): LockChange[] {
    const lives = [...this.#heldIn].filter(([name]) => this.#exportCounts.has(name));
    const held = [...this.#files].flatMap(([file, locks]) =>
      locks.map(
        ({ owner, start, end, isExclusive }) =>
          ["lock", file, owner.client, owner.process, start, toJson(end), isExclusive] as const,
      ),
    );
    return [...lives.map(([name, epoch]) => ["life", name, epoch] as const), ...held];
  }

  #releaseWhere(isGone: (client: string) => boolean): void {
    for (const client of [...this.#counts.keys()]) if (isGone(client)) this.#count(client, -this.#counts.get(client)!);
    for (const [file, locks] of this.#files)
      this.#keep(
        file,
        locks.filter(({ owner }) => !isGone(owner.client)),
      );
  }

  #replace(file: string, owner: LockOwner, range: Omit<LockRange, "isExclusive">, added: HeldLock[]): void {
    const before = this.#files.get(file) ?? [];
    const after = before.flatMap((held) => (isSame(held.owner, owner) ? subtract(held, range) : [held]));
    after.push(...added);
    this.#count(owner.client, after.length - before.length);
    this.#keep(file, after);
  }

  #count(client: string, more: number): void {
    addTo(this.#counts, client, more);
    addTo(this.#exportCounts, exportOf(client), more);
  }

  #keep(file: string, locks: HeldLock[]): void {
    if (locks.length > 0) this.#files.set(file, locks);
    else this.#files.delete(file);
  }
}

function isSame(left: LockOwner, right: LockOwner): boolean {
  return left.client === right.client && left.process === right.process;
}

function overlap(left: { start: number; end: number }, right: { start: number; end: number }): boolean {
  return left.start < right.end && right.start < left.end;
}

/** What is left of a lock outside a range. */
function subtract(held: HeldLock, { start, end }: { start: number; end: number }): HeldLock[] {
  if (!overlap(held, { start, end })) return [held];
  const parts: HeldLock[] = [];
  if (held.start < start) parts.push({ ...held, end: start });
  if (held.end > end) parts.push({ ...held, start: end });
  return parts;
}

function addTo(counts: Map<string, number>, key: string, more: number): void {
  const count = (counts.get(key) ?? 0) + more;
  if (count > 0) counts.set(key, count);
  else counts.delete(key);
}

function exportOf(client: string): string {
  return client.slice(0, Math.max(0, client.indexOf(" ")));
}

function names(prefix: string, isWhole: boolean): (client: string) => boolean {
  return (client) => (isWhole ? client === prefix : client.startsWith(prefix));
}

/** JSON knows no infinity. */
function toJson(end: number): number | null {
  return end === Number.POSITIVE_INFINITY ? null : end;
}
