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
    const index = countBefore(block, entry);
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
    const index = countBefore(block, entry);
    if (values[index] !== entry.value || servers[index] !== entry.server) return false;
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
    const start = after === undefined || isBefore(after, startOf(range)) ? startOf(range) : justAfter(after);
    const found: Entry[] = [];
    for (let at = Math.max(0, this.#findBlock(start) - 1); at < this.#blocks.length && found.length < limit; at++) {
      const block = this.#blocks[at]!;
      const { values, servers } = block;
      const last = countBefore(block, end);
      for (let index = countBefore(block, start); index < last && found.length < limit; index++)
        found.push({ value: values[index]!, server: servers[index]! });
      if (last < values.length) break;
    }
    return found;
  }

  /** How many entries come before. */
  #rank(entry: Entry): number {
    const at = this.#findBlock(entry) - 1;
    if (at < 0) return 0;
    let rank = countBefore(this.#blocks[at]!, entry);
    for (let before = 0; before < at; before++) rank += this.#counts[before]!;
    return rank;
  }

  /** The first block whose first entry comes after. */
  #findBlock(entry: Entry): number {
    return countBefore(this.#firsts, entry, true);
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

/** How many entries of a block, which is in order, come before; with the entry itself where it is there and `withEqual`. */
function countBefore({ values, servers }: Block, { value, server }: Entry, withEqual = false): number {
  const isNumber = typeof value === "number";
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const other = values[middle]!;
    let comesBefore: boolean;
    if (other === value) comesBefore = withEqual ? servers[middle]! <= server : servers[middle]! < server;
    // Numbers come before texts.
    else if ((typeof other === "number") !== isNumber) comesBefore = !isNumber;
    else comesBefore = other < value;
    if (comesBefore) low = middle + 1;
    else high = middle;
  }
  return low;
}

function isBefore(one: Entry, other: Entry): boolean {
  return countBefore({ values: [one.value], servers: [one.server] }, other) === 1;
}
