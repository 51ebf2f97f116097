/** Reads exact numbers of bytes from a stream of buffers of any sizes. Holds one buffer at a time. */
export class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>;
  #current: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** `length` bytes; fewer only where the stream ends. Copies, so it is for small pieces. */
  async read(length: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    for (let left = length; left > 0; ) {
      const part = await this.readSome(left);
      if (part === undefined) break;
      parts.push(part);
      left -= part.length;
    }
    return parts.length === 1 ? parts[0] : Buffer.concat(parts);
  }

  /** The next one to `length` bytes, without copying; undefined at the end of the stream. */
  async readSome(length: number): Promise<Buffer | undefined> {
    if (this.#current.length === 0 && !(await this.#pull())) return undefined;
    const part = this.#current.subarray(0, length);
    this.#current = this.#current.subarray(part.length);
    return part;
  }

  /** Skips `length` bytes; returns how many of them there were. */
  async skip(length: number): Promise<number> {
    let skipped = 0;
    while (skipped < length) {
      const part = await this.readSome(length - skipped);
      if (part === undefined) break;
      skipped += part.length;
    }
    return skipped;
  }

  /** Tells the source that nobody reads on. */
  async close(): Promise<void> {
    await this.#source.return?.();
  }

  async #pull(): Promise<boolean> {
    for (;;) {
      const { done, value } = await this.#source.next();
      if (done) return false;
      if (value.length === 0) continue;
      this.#current = Buffer.from(value.buffer, value.byteOffset, value.length);
      return true;
    }
  }
}
