/**
 * The entries that a journal lays over a directory: names that were added, and whiteouts of names below.
 *
 * Cookies are given in order and never twice, so a listing can go on after any cookie ever given, also when its entry
 * is gone (RFC 1813 section 3.3.16: a cookie stays valid).
 */
import type { FileId, Name } from "../file-system.ts";

/** The id of an entry that hides the name below. */
export const hidden = -1;

export interface JournalEntry {
  readonly name: Name;
  id: FileId;
  readonly cookie: number;
}

export class JournalEntries {
  /**
   * Names that are gone stay as undefined until half are gone. Deleting them at once would make a name that comes and
   * goes slow: a Map leaves each deleted key in the way of the next equal one until it is built anew.
   */
  readonly #byName = new Map<Name, JournalEntry | undefined>();
  /** In cookie order, with entries that are gone or replaced among them until half are. */
  #order: JournalEntry[] = [];
  #size = 0;
  /** The names of ids, kept from the first time that somebody asks. Of a file with several names it has one. */
  #names: Map<FileId, Name> | undefined;
  nextCookie = 1;

  get size(): number {
    return this.#size;
  }

  get(name: Name): JournalEntry | undefined {
    return this.#byName.get(name);
  }

  /** An entry that keeps its cookie keeps its place: a listing meets a name that is replaced only once. */
  set(entry: JournalEntry): void {
    const known = this.#byName.get(entry.name);
    if (known !== undefined) this.#dropName(known);
    this.#names?.set(entry.id, entry.name);
    if (known?.cookie === entry.cookie) {
      known.id = entry.id;
      return;
    }
    if (known === undefined) this.#size++;
    this.#byName.set(entry.name, entry);
    this.#order.push(entry);
    if (entry.cookie >= this.nextCookie) this.nextCookie = entry.cookie + 1;
    this.#dropStale();
  }

  delete(name: Name): void {
    const known = this.#byName.get(name);
    if (known === undefined) return;
    this.#dropName(known);
    this.#byName.set(name, undefined);
    this.#size--;
    this.#dropStale();
  }

  /** The name of a directory. */
  nameOf(id: FileId): Name | undefined {
    this.#names ??= new Map([...this.after(0)].map((entry) => [entry.id, entry.name]));
    return this.#names.get(id);
  }

  #dropName({ id, name }: JournalEntry): void {
    if (this.#names?.get(id) === name) this.#names.delete(id);
  }

  /** Entries with a cookie above `cookie`, in order, hidden ones included. */
  *after(cookie: number): Generator<JournalEntry> {
    const order = this.#order;
    let low = 0;
    let high = order.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (order[middle].cookie > cookie) high = middle;
      else low = middle + 1;
    }
    for (let index = low; index < order.length; index++) {
      const entry = order[index];
      if (this.#byName.get(entry.name) === entry) yield entry;
    }
  }

  #dropStale(): void {
    if (this.#order.length < 32 || this.#order.length < this.#size * 2) return;
    this.#order = this.#order.filter((entry) => this.#byName.get(entry.name) === entry);
    for (const [name, entry] of this.#byName) if (entry === undefined) this.#byName.delete(name);
  }
}
