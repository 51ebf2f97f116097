/**
 * Which XenoServers have which value of one token, in order: by value, then by id. Blocks of about a hundred entries, each in order,
 * so that a change moves one block's entries and a range is found by two binary searches: 1,000,000 entries are about 10,000
 * blocks. Values, servers, and what is known of each block lie side by side in arrays, without an object for each
 * entry: what these searches cost is memory that is not in the processor's cache.
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

/** The entry at each place is its value there, and its server. */
interface Block {
  readonly values: TokenValue[];
  readonly servers: string[];
}

const maxBlock = 128;

export class OrderedIndex {
  readonly #blocks: Block[] = [];
  /** The first entry of each block, and how many it has. */
  readonly #firsts: Block = { values: [], servers: [] };
  readonly #counts: number[] = [];
  size = 0;

  add(entry: Entry): void {
    const at = Math.max(0, this.#findBlock(entry) - 1);
    const block = this.#blocks[at];
    this.size++;
    if (block === undefined) {
      this.#insertBlock(0, { values: [entry.value], servers: [entry.server] });
      return;
    }
    const { values, servers } = block;
    const index = findEntry(block, entry);
    values.splice(index, 0, entry.value);
    servers.splice(index, 0, entry.server);
    this.#note(at);
    if (values.length <= maxBlock) return;
    this.#insertBlock(at + 1, { values: values.splice(maxBlock / 2), servers: servers.splice(maxBlock / 2) });
    this.#note(at);
  }

  /** False where it was not there. */
  remove(entry: Entry): boolean {
    const at = this.#findBlock(entry) - 1;
    const block = this.#blocks[at];
    if (block === undefined) return false;
    const { values, servers } = block;
    const index = findEntry(block, entry);
    if (index >= values.length || compare(block, index, entry) !== 0) return false;
    values.splice(index, 1);
    servers.splice(index, 1);
    if (values.length === 0) this.#removeBlock(at);
    else this.#note(at);
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
    const start = after === undefined || compareEntries(after, startOf(range)) < 0 ? startOf(range) : justAfter(after);
    const found: Entry[] = [];
    for (let at = Math.max(0, this.#findBlock(start) - 1); at < this.#blocks.length && found.length < limit; at++) {
      const block = this.#blocks[at]!;
      const { values, servers } = block;
      for (let index = findEntry(block, start); index < values.length && found.length < limit; index++) {
        if (compare(block, index, end) >= 0) return found;
        found.push({ value: values[index]!, server: servers[index]! });
      }
    }
    return found;
  }

  /** How many entries come before. */
  #rank(entry: Entry): number {
    const at = this.#findBlock(entry) - 1;
    if (at < 0) return 0;
    let rank = findEntry(this.#blocks[at]!, entry);
    for (let before = 0; before < at; before++) rank += this.#counts[before]!;
    return rank;
  }

  /** The first block whose first entry comes after. */
  #findBlock(entry: Entry): number {
    return search(this.#blocks.length, (at) => compare(this.#firsts, at, entry) > 0);
  }

  #insertBlock(at: number, block: Block): void {
    this.#blocks.splice(at, 0, block);
    this.#firsts.values.splice(at, 0, block.values[0]!);
    this.#firsts.servers.splice(at, 0, block.servers[0]!);
    this.#counts.splice(at, 0, block.values.length);
  }

  #removeBlock(at: number): void {
    for (const known of [this.#blocks, this.#firsts.values, this.#firsts.servers, this.#counts]) known.splice(at, 1);
  }

  /** What has changed in a block. */
  #note(at: number): void {
    const { values, servers } = this.#blocks[at]!;
    this.#firsts.values[at] = values[0]!;
    this.#firsts.servers[at] = servers[0]!;
    this.#counts[at] = values.length;
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

function justAfter({ value, server }: Entry): Entry {
  return { value, server: `${server}\0` };
}

function compare({ values, servers }: Block, index: number, other: Entry): number {
  const value = values[index]!;
  return value === other.value ? compareTexts(servers[index]!, other.server) : compareValues(value, other.value);
}

function compareEntries(one: Entry, other: Entry): number {
  return one.value === other.value ? compareTexts(one.server, other.server) : compareValues(one.value, other.value);
}

/** Of two that differ. Numbers come before texts. */
function compareValues(one: TokenValue, other: TokenValue): number {
  if (typeof one !== typeof other) return typeof one === "number" ? -1 : 1;
  return one < other ? -1 : 1;
}

function compareTexts(one: string, other: string): number {
  if (one === other) return 0;
  return one < other ? -1 : 1;
}

function findEntry(block: Block, entry: Entry): number {
  return search(block.values.length, (at) => compare(block, at, entry) >= 0);
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
