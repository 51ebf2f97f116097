/**
 * Which XenoServers have which value of one token, in order: by value, then by id. Blocks of some hundred entries, each in order,
 * so that a change moves one block's entries and a range is found by two binary searches: 1,000,000 entries are 2,000 to
 * 4,000 blocks.
 */
export type TokenValue = number | string;

export interface Entry {
  readonly value: TokenValue;
  readonly server: string;
}

export interface ValueRange {
  /** Both included. Numbers and texts do not mix: a range of numbers holds no text. */
  readonly from: TokenValue;
  readonly to: TokenValue;
}

const maxBlock = 512;

export class OrderedIndex {
  readonly #blocks: Entry[][] = [];
  size = 0;

  add(entry: Entry): void {
    const at = Math.max(0, this.#findBlock(entry) - 1);
    const block = this.#blocks[at];
    this.size++;
    if (block === undefined) {
      this.#blocks.push([entry]);
      return;
    }
    block.splice(findEntry(block, entry), 0, entry);
    if (block.length > maxBlock) this.#blocks.splice(at + 1, 0, block.splice(maxBlock / 2));
  }

  /** False where it was not there. */
  remove(entry: Entry): boolean {
    const at = this.#findBlock(entry) - 1;
    const block = this.#blocks[at];
    if (block === undefined) return false;
    const index = findEntry(block, entry);
    if (index >= block.length || compare(block[index]!, entry) !== 0) return false;
    block.splice(index, 1);
    if (block.length === 0) this.#blocks.splice(at, 1);
    this.size--;
    return true;
  }

  /** How many entries lie in the range: steps over whole blocks. */
  count(range: ValueRange): number {
    return this.#rank(endOf(range)) - this.#rank(startOf(range));
  }

  /** Entries of the range after `after`, at most `limit`, in order. */
  list(range: ValueRange, limit: number, after?: Entry): Entry[] {
    const end = endOf(range);
    const start =
      after === undefined || compare(after, startOf(range)) < 0
        ? startOf(range)
        : { ...after, server: `${after.server}\0` };
    const found: Entry[] = [];
    for (let at = Math.max(0, this.#findBlock(start) - 1); at < this.#blocks.length && found.length < limit; at++) {
      const block = this.#blocks[at]!;
      for (let index = findEntry(block, start); index < block.length && found.length < limit; index++) {
        if (compare(block[index]!, end) >= 0) return found;
        found.push(block[index]!);
      }
    }
    return found;
  }

  /** How many entries come before. */
  #rank(entry: Entry): number {
    const at = this.#findBlock(entry) - 1;
    if (at < 0) return 0;
    let rank = findEntry(this.#blocks[at]!, entry);
    for (let before = 0; before < at; before++) rank += this.#blocks[before]!.length;
    return rank;
  }

  /** The first block whose first entry comes after. */
  #findBlock(entry: Entry): number {
    return search(this.#blocks.length, (at) => compare(this.#blocks[at]![0]!, entry) > 0);
  }
}

/** Before all ids; ids are base64url, so that this is after all of them. */
const lastServer = "\uffff";

function startOf({ from }: ValueRange): Entry {
  return { value: from, server: "" };
}

function endOf({ to }: ValueRange): Entry {
  return { value: to, server: lastServer };
}

/** Numbers come before texts. */
function compare(one: Entry, other: Entry): number {
  if (typeof one.value !== typeof other.value) return typeof one.value === "number" ? -1 : 1;
  if (one.value !== other.value) return one.value < other.value ? -1 : 1;
  if (one.server === other.server) return 0;
  return one.server < other.server ? -1 : 1;
}

function findEntry(block: readonly Entry[], entry: Entry): number {
  return search(block.length, (at) => compare(block[at]!, entry) >= 0);
}

/** The first of 0..length that `holds`, which holds for all after it; length where none does. */
function search(length: number, holds: (at: number) => boolean): number {
  let low = 0;
  let high = length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (holds(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}
