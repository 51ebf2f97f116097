/**
 * The changes of a table of locks, in a file: so that the next process of a file server has them. A client notices nothing of
 * the restart of its file server, so its locks must outlive it; there is no grace period, since nobody has to reclaim anything.
 *
 * - (F1) A change is in the file, as the operating system has it, before it counts. A line that a crash cut off does not.
 * - (F2) Of another boot of the host nothing counts: its clients' connections, and mostly the clients, went with it.
 *
 *     file = the host's boot id, then a line of JSON for each change
 */
import fs from "node:fs";

export type LockChange =
  | readonly ["lock", file: string, client: string, process: string, start: number, end: number | null, boolean]
  | readonly ["unlock", file: string, client: string, process: string, start: number, end: number | null]
  | readonly ["release", prefix: string, isWhole: boolean]
  | readonly ["life", name: string, epoch: number];

/** The file is written anew when so many of its lines say nothing any more. */
const spareLines = 1000;

export class LockFile {
  readonly #path: string;
  #file: number | undefined;
  #lines = 0;

  constructor(path: string) {
    this.#path = path;
  }

  /** What stands in it; nothing where it is of another boot, or not there. */
  read(): LockChange[] {
    if (!fs.existsSync(this.#path)) return [];
    const text = fs.readFileSync(this.#path, "latin1");
    const [boot, ...lines] = text.slice(0, text.lastIndexOf("\n") + 1).split("\n");
    if (boot !== readBoot()) return [];
    const changes: LockChange[] = [];
    for (const line of lines) {
      const change = parseLine(line);
      if (change === undefined) break;
      changes.push(change);
    }
    return changes;
  }

  /** Until it was written once, or when so much of it says nothing any more. */
  mustWrite(count: number): boolean {
    return this.#file === undefined || this.#lines > 2 * count + spareLines;
  }

  /** Throws what the disk says; then the file is as it was, or ends with a part of a line. */
  append(change: LockChange): void {
    const line = Buffer.from(`${JSON.stringify(change)}\n`, "latin1");
    const size = fs.fstatSync(this.#file!).size;
    if (fs.writeSync(this.#file!, line, 0, line.length, size) !== line.length) {
      fs.ftruncateSync(this.#file!, size);
      throw new Error(`${this.#path} takes no more`);
    }
    this.#lines++;
  }

  /** Puts these in its place. Throws what the disk says. */
  write(changes: readonly LockChange[]): void {
    const made = `${this.#path}.new`;
    const text = changes.map((change) => `${JSON.stringify(change)}\n`).join("");
    fs.writeFileSync(made, `${readBoot()}\n${text}`, { encoding: "latin1", mode: 0o600 });
    const file = fs.openSync(made, "r+");
    fs.renameSync(made, this.#path);
    if (this.#file !== undefined) fs.closeSync(this.#file);
    this.#file = file;
    this.#lines = changes.length;
  }
}

/** Undefined for what was never a line of such a file: what follows is none either. */
function parseLine(line: string): LockChange | undefined {
  try {
    return line === "" ? undefined : JSON.parse(line);
  } catch {
    return undefined;
  }
}

function readBoot(): string {
  return fs.readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim();
}
