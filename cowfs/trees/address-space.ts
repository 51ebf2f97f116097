/**
 * Where the bytes of a tree come from: one linear address space, the tree's unique chunks laid end to end.
 */
export interface AddressSpace {
  /**
   * Copies exactly `length` bytes at `address` into `target` at `targetOffset`. Throws a Fault that names every
   * missing chunk of the range; the target may then be half written.
   */
  read(address: number, length: number, target: Buffer, targetOffset: number): void;
}

/** The chunks of an address space: what lies where, and the hash that it must have. */
export class ChunkTable {
  readonly count: number;
  /** Bytes of the whole space. */
  readonly bytes: number;
  readonly #ends: Float64Array;
  readonly #hashes: Buffer;

  /** `ends` ascend, one per chunk; `hashes` holds 32 bytes per chunk. */
  constructor(ends: Float64Array, hashes: Buffer) {
    this.count = ends.length;
    this.bytes = ends.length === 0 ? 0 : ends[ends.length - 1];
    this.#ends = ends;
    this.#hashes = hashes;
  }

  address(chunk: number): number {
    return chunk === 0 ? 0 : this.#ends[chunk - 1];
  }

  length(chunk: number): number {
    return this.#ends[chunk] - this.address(chunk);
  }

  /** BLAKE3, 64 hex digits. */
  hash(chunk: number): string {
    return this.#hashes.toString("hex", 32 * chunk, 32 * chunk + 32);
  }

  hashBytes(chunk: number): Buffer {
    return this.#hashes.subarray(32 * chunk, 32 * chunk + 32);
  }

  /** Whether these 32 bytes are the chunk's hash. */
  hasHash(chunk: number, hash: Buffer): boolean {
    return this.#hashes.compare(hash, 0, 32, 32 * chunk, 32 * chunk + 32) === 0;
  }

  /** The chunk that holds an address; `count` for an address beyond the end. */
  find(address: number): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#ends[middle] <= address) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
