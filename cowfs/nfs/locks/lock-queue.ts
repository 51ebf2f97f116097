/**
 * Clients that wait for a lock (NLM_LOCK that may block), and how they hear that they have it (NLM_GRANTED; X/Open XNFS chapter 10).
 *
 * - (Q1) Who asked first is granted first, among those that one file's freed bytes satisfy.
 * - (Q2) A lock is in the table before its client is called, so nobody else can have it meanwhile.
 * - (Q3) It is taken back where the client no longer wants it or cannot be told, unless it has asked again since and was told so; what
 *   it held before is as it was.
 * - (Q4) What waits is bounded for each host and in all, and goes when it has not been asked for again for three of Linux's rounds of
 *   30 s. Who finds no room is told BLOCKED all the same, and asks again by itself.
 *
 * It trusts no client: a call goes to the address that a connection came from, and nowhere else.
 */
import type { LockOwner, LockRange, LockTable } from "./lock-table.ts";

export interface WantedLock {
  readonly file: string;
  readonly owner: LockOwner;
  readonly wanted: LockRange;
  /** The client's address. */
  readonly host: string;
  /** The file's handle, as the client has it. */
  readonly handle: Buffer;
}

/** Tells a client that it has a lock. False: it does not want it any more. Rejects where it cannot be told. */
export type TellGranted = (lock: WantedLock) => Promise<boolean>;

interface Waiter extends WantedLock {
  state: "waiting" | "calling" | "told";
  isClaimed: boolean;
  /** Out of the queue: how its call ends is of no interest. */
  isGone: boolean;
  /** What the owner held of these bytes when it was granted. */
  before: readonly LockRange[];
  readonly expiry: NodeJS.Timeout;
}

const maxWaiting = 4096;
const maxWaitingOfHost = 256;
const maxCallsOfHost = 8;
const expiryMs = 90_000;

export class LockQueue {
  readonly #table: LockTable;
  readonly #tell: TellGranted;
  readonly #waiters = new Map<string, Waiter[]>();
  readonly #waitingOf = new Map<string, number>();
  readonly #callsOf = new Map<string, number>();
  readonly #unlisten: () => void;
  #count = 0;
  #isClosed = false;

  constructor(table: LockTable, tell: TellGranted) {
    this.#table = table;
    this.#tell = tell;
    this.#unlisten = table.onChange((file) => this.#serve(file));
  }

  get count(): number {
    return this.#count;
  }

  /** Waits for a lock that another holds. Asked again, it keeps its place. */
  wait(lock: WantedLock): void {
    const known = this.#find(lock);
    if (known?.state === "waiting") {
      known.expiry.refresh();
      return;
    }
    // It has had it and given it back since.
    if (known !== undefined) this.#drop(known);
    const ofHost = this.#waitingOf.get(lock.host) ?? 0;
    if (this.#isClosed || this.#count >= maxWaiting || ofHost >= maxWaitingOfHost) return;
    const waiter: Waiter = {
      ...lock,
      state: "waiting",
      isClaimed: false,
      isGone: false,
      before: [],
      expiry: setTimeout(() => this.#drop(waiter), expiryMs).unref(),
    };
    this.#waiters.set(lock.file, [...(this.#waiters.get(lock.file) ?? []), waiter]);
    this.#waitingOf.set(lock.host, ofHost + 1);
    this.#count++;
  }

  /** The client has asked for it again and was told that it has it (Q3). */
  claim(lock: Omit<WantedLock, "host" | "handle">): void {
    const waiter = this.#find(lock);
    if (waiter === undefined) return;
    waiter.isClaimed = true;
    if (waiter.state !== "calling") this.#drop(waiter);
  }

  /** The client no longer waits; a lock of which it was told in the same moment is taken back. */
  cancel(lock: Omit<WantedLock, "host" | "handle">): void {
    const waiter = this.#find(lock);
    if (waiter === undefined) return;
    this.#drop(waiter);
    if (waiter.state !== "waiting") this.#takeBack(waiter);
  }

  /** A client that has started anew waits for nothing. */
  forget(client: string): void {
    for (const waiters of [...this.#waiters.values()])
      for (const waiter of waiters) if (waiter.owner.client === client) this.#drop(waiter);
  }

  close(): void {
    this.#isClosed = true;
    this.#unlisten();
    for (const waiters of [...this.#waiters.values()]) for (const waiter of waiters) this.#drop(waiter);
  }

  #find({ file, owner, wanted }: Omit<WantedLock, "host" | "handle">): Waiter | undefined {
    return this.#waiters
      .get(file)
      ?.find(
        (waiter) =>
          waiter.owner.client === owner.client &&
          waiter.owner.process === owner.process &&
          waiter.wanted.start === wanted.start &&
          waiter.wanted.end === wanted.end,
      );
  }

  /** Bytes of a file may be free now; without a file, of any. */
  #serve(file?: string): void {
    for (const each of file === undefined ? [...this.#waiters.keys()] : [file])
      for (const waiter of this.#waiters.get(each) ?? []) if (waiter.state === "waiting") this.#grant(waiter);
  }

  #grant(waiter: Waiter): void {
    const { file, owner, wanted, host } = waiter;
    if ((this.#callsOf.get(host) ?? 0) >= maxCallsOfHost) return;
    if (this.#table.findConflict(file, owner, wanted) !== undefined) return;
    waiter.before = this.#table.listHeld(file, owner, wanted);
    // Before the table's change, which serves the others.
    waiter.state = "calling";
    addTo(this.#callsOf, host, 1);
    if (!this.#table.lock(file, owner, wanted)) {
      waiter.state = "waiting";
      addTo(this.#callsOf, host, -1);
      return;
    }
    void this.#tell(waiter)
      .catch(() => waiter.isClaimed)
      .then((isWanted) => {
        addTo(this.#callsOf, host, -1);
        this.#settle(waiter, isWanted);
        this.#serve();
      });
  }

  /** A client that was told keeps its place for a while: it may have given up in the same moment, and say so. */
  #settle(waiter: Waiter, isWanted: boolean): void {
    if (waiter.isGone) return;
    waiter.state = "told";
    if (isWanted && !waiter.isClaimed) return;
    this.#drop(waiter);
    if (!isWanted && !waiter.isClaimed) this.#takeBack(waiter);
  }

  /** Unless its owner has changed it since. What it held before comes first, so that nobody else is served in between. */
  #takeBack({ file, owner, wanted, before }: Waiter): void {
    const [held, ...others] = this.#table.listHeld(file, owner, wanted);
    if (others.length > 0 || held?.start !== wanted.start || held.end !== wanted.end) return;
    if (held.isExclusive !== wanted.isExclusive) return;
    for (const range of before) this.#table.lock(file, owner, range);
    let start = wanted.start;
    for (const range of before.toSorted((left, right) => left.start - right.start)) {
      if (start < range.start) this.#table.unlock(file, owner, { start, end: range.start });
      start = range.end;
    }
    if (start < wanted.end) this.#table.unlock(file, owner, { start, end: wanted.end });
  }

  #drop(waiter: Waiter): void {
    if (waiter.isGone) return;
    waiter.isGone = true;
    clearTimeout(waiter.expiry);
    const left = this.#waiters.get(waiter.file)!.filter((each) => each !== waiter);
    if (left.length > 0) this.#waiters.set(waiter.file, left);
    else this.#waiters.delete(waiter.file);
    addTo(this.#waitingOf, waiter.host, -1);
    this.#count--;
  }
}

function addTo(counts: Map<string, number>, key: string, more: number): void {
  const count = (counts.get(key) ?? 0) + more;
  if (count > 0) counts.set(key, count);
  else counts.delete(key);
}
