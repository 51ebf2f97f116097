/**
 * The bytes of live files that were read lately, in blocks.
 *
 * A block is believed while the file's attributes are those that came with it, or for the time that attributes are
 * believed. A file that was changed less than two seconds before its block was read may have been changed again within
 * the same tick of its clock: such a block has only that time (as git's "racily clean" index entries).
 */
import type { Time } from "../../file-system.ts";
import type { LiveAttributes, LiveContent } from "./live-files.ts";

export const blockBytes = 128 * 1024;
const racyMs = 2000;

interface Block {
  readonly data: Buffer;
  readonly version: string;
  /** Until when it is believed whatever the attributes say. */
  readonly until: number;
}

export class ContentCache {
  readonly #maxBytes: number;
  readonly #blocks = new Map<string, Block>();
  readonly #byFile = new Map<number, Set<string>>();
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  keep(file: number, index: number, { data, attributes }: LiveContent, until: number): void {
    const key = `${file}/${index}`;
    this.#drop(file, key);
    const isRacy = Date.now() - attributes.changed.seconds * 1000 < racyMs;
    this.#blocks.set(key, { data, until, version: isRacy ? "" : versionOf(attributes) });
    const keys = this.#byFile.get(file) ?? new Set();
    this.#byFile.set(file, keys.add(key));
    this.#bytes += data.length;
    for (const oldest of this.#blocks.keys()) {
      if (this.#bytes <= this.#maxBytes || oldest === key) break;
      this.#drop(Number(oldest.slice(0, oldest.indexOf("/"))), oldest);
    }
  }

  /** The bytes from a block's start on; they may end before the file's do. Undefined: fetch it. */
  find(file: number, index: number, attributes: LiveAttributes): Buffer | undefined {
    const block = this.#blocks.get(`${file}/${index}`);
    if (block === undefined) return undefined;
    const isCurrent = block.version === versionOf(attributes);
    if (!isCurrent && block.until <= performance.now()) return undefined;
    const wanted = Math.min(blockBytes, attributes.size - index * blockBytes);
    // It has grown since: the rest is no hole.
    if (!isCurrent && block.data.length < wanted) return undefined;
    return block.data;
  }

  forget(file: number): void {
    for (const key of this.#byFile.get(file) ?? []) this.#drop(file, key);
  }

  #drop(file: number, key: string): void {
    const block = this.#blocks.get(key);
    if (block === undefined) return;
    this.#blocks.delete(key);
    this.#bytes -= block.data.length;
    const keys = this.#byFile.get(file)!;
    keys.delete(key);
    if (keys.size === 0) this.#byFile.delete(file);
  }
}

function versionOf({ size, modified, changed }: LiveAttributes): string {
  const text = ({ seconds, nanoseconds }: Time) => `${seconds}.${nanoseconds}`;
  return `${size} ${text(modified)} ${text(changed)}`;
}
