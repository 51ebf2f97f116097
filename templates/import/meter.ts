import { XenoError } from "../../cowfs/errors.ts";
import { defaultMaxBytes, defaultMaxMembers, type ImportOptions } from "./import-options.ts";

const reportEveryMs = 250;

/** Counts what an import has taken, reports it now and then, and stops it at its bounds or when it is aborted. */
export class ImportMeter {
  files = 0;
  bytes = 0;
  readonly #options: ImportOptions;
  readonly #refusal: string;
  #reportedAt = 0;
  #current = "the first member";
  #archiveBytes = 0;

  /** `refusal` is the error code for a source that is too large. */
  constructor(options: ImportOptions, refusal: string) {
    this.#options = options;
    this.#refusal = refusal;
  }

  /** Counts a file, directory or link. */
  addMember(path: string): void {
    this.#options.signal?.throwIfAborted();
    this.files += 1;
    this.#current = path;
    const limit = this.#options.maxMembers ?? defaultMaxMembers;
    if (this.files > limit) this.#refuse(path, `it is one of more than ${limit} members`);
    const now = performance.now();
    if (now - this.#reportedAt < reportEveryMs) return;
    this.#reportedAt = now;
    this.report(path);
  }

  report(step: string): void {
    this.#options.onProgress?.({ step, files: this.files, bytes: this.bytes });
  }

  /** Passes an archive through, and stops it at the bound: whatever it consists of, and whatever its headers claim. */
  async *bound(archive: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    const limit = this.#options.maxBytes ?? defaultMaxBytes;
    for await (const part of archive) {
      this.#options.signal?.throwIfAborted();
      this.#archiveBytes += part.length;
      if (this.#archiveBytes > limit) this.#refuse(this.#current, `up to it there are more than ${limit} bytes`);
      yield part;
    }
  }

  /** Passes content through and counts it. */
  async *count(content: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const part of content) {
      this.bytes += part.length;
      yield part;
    }
  }

  #refuse(path: string, reason: string): never {
    throw new XenoError(this.#refusal, `${path}: ${reason}`, { hint: "if the source is right, raise the limit" });
  }
}
