/**
 * The reserve: space that is held by a file of zeros, for the round of checkpoints that a full disk needs in order to become
 * less full. Who shares the disk cannot take it, and the journal's own writers do not.
 */
import fs from "node:fs";
import { open } from "node:fs/promises";
import path from "node:path";

const zeros = Buffer.alloc(64 * 1024);

export class Reserve {
  readonly #path: string;
  /** What it holds. */
  bytes = 0;
  /** Given away for a round, and not made good since. */
  isReleased = false;
  #making: Promise<boolean> | undefined;

  constructor(directory: string) {
    this.#path = path.join(directory, "reserve");
    this.bytes = fs.statSync(this.#path, { throwIfNoEntry: false })?.size ?? 0;
  }

  /** Makes it so large, or at least so large; says whether it is now. Never rejects. One call at a time. */
  ensure(wantedBytes: number, leastBytes: number): Promise<boolean> {
    this.#making ??= this.#grow(wantedBytes, leastBytes).finally(() => {
      this.#making = undefined;
    });
    return this.#making;
  }

  /** Gives the space to who asks first: the caller. */
  release(): void {
    this.isReleased = true;
    this.bytes = 0;
    fs.rmSync(this.#path, { force: true });
  }

  async #grow(wantedBytes: number, leastBytes: number): Promise<boolean> {
    if (this.bytes < leastBytes) await this.#write(wantedBytes).catch(() => {});
    if (this.bytes >= leastBytes) this.isReleased = false;
    // Half of it would keep from others what helps nobody.
    else if (this.isReleased) this.release();
    return !this.isReleased;
  }

  async #write(wantedBytes: number): Promise<void> {
    const file = await open(this.#path, "a", 0o600);
    try {
      while (this.bytes < wantedBytes) this.bytes += (await file.write(zeros)).bytesWritten;
    } finally {
      await file.sync().finally(() => file.close());
    }
  }
}
