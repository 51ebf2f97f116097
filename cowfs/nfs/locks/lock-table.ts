/**
 * Advisory byte-range locks, as fcntl(2) has them: of files that several clients share, also clients of different exports.
 *
 * - (K1) No two owners hold overlapping ranges of a file of which one is exclusive.
 * - (K2) What an owner locks replaces what it held there; what it unlocks may split a range in two.
 * - (K3) What a client holds is bounded, and gone when the client is.
 *
 * Locks are in memory: they are gone with the process (see README.md, "Locks").
 */

/** Who holds or wants a lock: `client` is let go as a whole. */
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

export class LockTable {
  readonly #files = new Map<string, HeldLock[]>();
  readonly #counts = new Map<string, number>();

  /** The first lock that keeps an owner from a range. */
  findConflict(file: string, owner: LockOwner, wanted: LockRange): HeldLock | undefined {
    return this.#files
      .get(file)
      ?.find((held) => !isSame(held.owner, owner) && overlap(held, wanted) && (held.isExclusive || wanted.isExclusive));
  }

  /** Takes a range that nothing keeps from its owner; false when the client has its bound of locks. */
  lock(file: string, owner: LockOwner, wanted: LockRange): boolean {
    // It may leave two parts of one that it splits, and itself.
    if ((this.#counts.get(owner.client) ?? 0) + 2 > maxLocksOfClient) return false;
    this.#replace(file, owner, wanted, [{ ...wanted, owner }]);
    return true;
  }

  unlock(file: string, owner: LockOwner, range: Omit<LockRange, "isExclusive">): void {
    this.#replace(file, owner, range, []);
  }

  /** Lets go of all that a client holds (K3). */
  release(client: string): void {
    this.#releaseWhere((held) => held === client);
  }

  /** Of all clients whose name begins so: those of an export. */
  releaseAll(prefix: string): void {
    this.#releaseWhere((held) => held.startsWith(prefix));
  }

  get count(): number {
    let count = 0;
    for (const locks of this.#files.values()) count += locks.length;
    return count;
  }

  #releaseWhere(isGone: (client: string) => boolean): void {
    for (const client of [...this.#counts.keys()]) if (isGone(client)) this.#counts.delete(client);
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
    const count = (this.#counts.get(owner.client) ?? 0) + after.length - before.length;
    if (count > 0) this.#counts.set(owner.client, count);
    else this.#counts.delete(owner.client);
    this.#keep(file, after);
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
