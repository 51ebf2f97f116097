/**
 * The inode numbers of a live layer: which object each means, and where it was last seen. A file beside the journal, one
 * JSON line `[number, parent, name, identity]` for each object and for each move that was noticed.
 *
 * - (N1) A number is on stable storage before anything that could show it has settled, and never means another object.
 * - (N2) A line that was cut off by a crash is dropped: its number was never shown.
 * - (N3) The file is written anew when moves have made it more than twice as long as it need be.
 */
import fs from "node:fs/promises";
import path from "node:path";
import { XenoError } from "../../errors.ts";
import type { Name } from "../../file-system.ts";
import type { LivePlace } from "./live-files.ts";

/** Of one layer, in the life of one journal: some 300 MiB of memory. */
const maxObjects = 1_000_000;
const spareLines = 10_000;
/** Deeper places are not followed: a directory that was moved under itself on the host would else never end. */
const maxDepth = 4096;

export interface Sighting {
  readonly parent: number;
  readonly name: Name;
  readonly identity: string;
  /** Whether the place is told to the next process: of an object with several names, only the first is. */
  readonly hasOneName: boolean;
}

interface Known {
  parent: number;
  name: Name;
  identity: string;
}

export class NumberTable {
  readonly #path: string;
  #file: fs.FileHandle;
  /** In the file. */
  #lines = 0;
  readonly #known: Known[] = [];
  readonly #numbers = new Map<string, number>();
  #unsaved: string[] = [];
  #saving: Promise<void> = Promise.resolve();

  private constructor(path: string, file: fs.FileHandle) {
    this.#path = path;
    this.#file = file;
  }

  static async open(file: string): Promise<NumberTable> {
    await fs.mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
    const handle = await fs.open(file, "a+", 0o600);
    try {
      const table = new NumberTable(file, handle);
      const text = await handle.readFile("latin1");
      const end = text.lastIndexOf("\n") + 1;
      if (end < text.length) await handle.truncate(end);
      table.#load(text.slice(0, end), file);
      await syncDirectory(path.dirname(file));
      return table;
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  get count(): number {
    return this.#known.length;
  }

  has(number: number): boolean {
    return number < this.#known.length;
  }

  parent(number: number): number {
    return this.#known[number].parent;
  }

  nameOf(number: number): Name {
    return this.#known[number].name;
  }

  place(number: number): LivePlace {
    const path: Name[] = [];
    for (let at = number; at !== 0 && path.length < maxDepth; at = this.#known[at].parent)
      path.push(this.#known[at].name);
    return { path: path.reverse(), identity: this.#known[number].identity };
  }

  /** The root is number 0, whatever lies there now. */
  async setRoot(identity: string): Promise<void> {
    const known = this.#known[0];
    if (known?.identity === identity) return await this.#save();
    if (known === undefined) this.#known.push({ parent: 0, name: "", identity });
    else {
      this.#numbers.delete(known.identity);
      known.identity = identity;
    }
    this.#numbers.set(identity, 0);
    this.#note(0);
    await this.#save();
  }

  /** The numbers of objects that were seen, in their order (N1). Throws `layer-full`, or what the disk throws. */
  async record(sightings: readonly Sighting[]): Promise<number[]> {
    const numbers = sightings.map((sighting) => this.#numberOf(sighting));
    await this.#save();
    return numbers;
  }

  async close(): Promise<void> {
    await this.#saving.catch(() => {});
    await this.#file.close();
  }

  #numberOf({ parent, name, identity, hasOneName }: Sighting): number {
    const known = this.#numbers.get(identity);
    if (known === undefined) {
      const number = this.#known.length;
      if (number >= maxObjects)
        throw new XenoError("layer-full", `more than ${maxObjects} files of a live layer were looked at`, {
          hint: "mount a smaller part of it, or start from a new journal",
        });
      this.#known.push({ parent, name, identity });
      this.#numbers.set(identity, number);
      this.#note(number);
      return number;
    }
    const place = this.#known[known];
    if (known === 0 || (place.parent === parent && place.name === name)) return known;
    place.parent = parent;
    place.name = name;
    if (hasOneName) this.#note(known);
    return known;
  }

  #note(number: number): void {
    this.#unsaved.push(formatLine(number, this.#known[number]));
  }

  /** Settles when all that was noted until now is on stable storage. */
  #save(): Promise<void> {
    const saving = this.#saving.catch(() => {}).then(() => this.#write());
    this.#saving = saving;
    return saving;
  }

  async #write(): Promise<void> {
    if (this.#unsaved.length === 0) return;
    if (this.#lines > 2 * this.#known.length + spareLines) return await this.#rewrite();
    const lines = this.#unsaved;
    const { size } = await this.#file.stat();
    try {
      await this.#file.appendFile(lines.join(""), "latin1");
      await this.#file.datasync();
    } catch (error) {
      await this.#file.truncate(size).catch(() => {});
      throw error;
    }
    this.#unsaved = this.#unsaved.slice(lines.length);
    this.#lines += lines.length;
  }

  /** (N3) */
  async #rewrite(): Promise<void> {
    const lines = this.#known.map((known, number) => formatLine(number, known));
    const noted = this.#unsaved.length;
    const temporary = `${this.#path}.new`;
    await fs.rm(temporary, { force: true });
    const file = await fs.open(temporary, "a+", 0o600);
    try {
      await file.appendFile(lines.join(""), "latin1");
      await file.sync();
      await fs.rename(temporary, this.#path);
      await syncDirectory(path.dirname(this.#path));
    } catch (error) {
      await file.close();
      throw error;
    }
    const before = this.#file;
    this.#file = file;
    this.#unsaved = this.#unsaved.slice(noted);
    this.#lines = lines.length;
    await before.close();
  }

  #load(text: string, file: string): void {
    for (const [index, line] of text.split("\n").slice(0, -1).entries()) {
      const parsed = parseLine(line);
      if (parsed === undefined || parsed.number > this.#known.length)
        throw new XenoError("journal-damaged", `${file}:${index + 1} is no line of a table of numbers`, {
          hint: "Restore the journal's directory from a copy.",
        });
      const { number, ...known } = parsed;
      const before = this.#known[number];
      if (before !== undefined) this.#numbers.delete(before.identity);
      this.#known[number] = known;
      this.#numbers.set(known.identity, number);
      this.#lines++;
    }
  }
}

function formatLine(number: number, { parent, name, identity }: Known): string {
  return `${JSON.stringify([number, parent, name, identity])}\n`;
}

function parseLine(line: string): (Known & { number: number }) | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (!Array.isArray(parsed) || parsed.length !== 4) return undefined;
  const [number, parent, name, identity] = parsed;
  const isValid =
    Number.isSafeInteger(number) &&
    number >= 0 &&
    Number.isSafeInteger(parent) &&
    parent >= 0 &&
    typeof name === "string" &&
    typeof identity === "string";
  return isValid ? { number, parent, name, identity } : undefined;
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await fs.open(directory);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
