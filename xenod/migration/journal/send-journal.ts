/**
 * The source's half of a journal's move: forks at pins (cowfs/journals/fork.ts), whose files nobody writes to.
 *
 * While the guest runs, the segments of one fork are sent, which is nearly all that there is. Once it is stopped, a second
 * fork has what was written since: the segments that the first had not, and the small rest (checkpoint, log, identity). What a pin names is never
 * appended to nor compacted (N2 in pins.ts), so a segment of the same name and size is the same.
 */
import { readdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { FileServerClient } from "../../file-server/client.ts";

export interface JournalFile {
  readonly path: string;
  readonly bytes: number;
}

export interface JournalContent {
  readonly path: string;
  /** Base64. */
  readonly content: string;
}

/**
 * In all. The guest stands still: its six files or so of some hundred bytes go in one message, where a request for each took three
 * times as long as the rest of its journal's hand-over.
 */
const maxSmallBytes = 1024 * 1024;

/** The target syncs each: its disk does several at a time in the time of one. */
const atOnce = 4;

/** Those below a directory of the fork's are of its segments, and never change. */
const unchanging = /^(segments|sums)\//;

export class JournalSender {
  readonly #fileServer: FileServerClient;
  readonly #journal: string;
  readonly #place: string;
  readonly #send: (file: JournalFile, from: string) => Promise<void>;
  readonly #sent = new Map<string, number>();
  /** What nobody writes to any more and was sent, by `identifyFile`: its path. */
  readonly shared = new Map<string, string>();
  #forks = 0;

  /** `place`: a directory of the domain's, on the journal's file system, that is nobody else's. */
  constructor(
    fileServer: FileServerClient,
    journal: string,
    place: string,
    send: (file: JournalFile, from: string) => Promise<void>,
  ) {
    this.#fileServer = fileServer;
    this.#journal = journal;
    this.#place = place;
    this.#send = send;
  }

  /** While the guest runs: what will not change any more. Returns the bytes that were sent. */
  async copy(): Promise<number> {
    const fork = await this.#fork();
    return await this.#sendAll(
      fork,
      (await listFiles(fork)).filter(({ path }) => unchanging.test(path)),
    );
  }

  /**
   * Once it is stopped and cut off: the rest. Returns all files that the journal consists of, and of the small ones that were not
   * sent what is in them.
   */
  async finish(): Promise<{ files: JournalFile[]; small: JournalContent[] }> {
    const fork = await this.#fork();
    const files = await listFiles(fork);
    const small: JournalContent[] = [];
    const large: JournalFile[] = [];
    let room = maxSmallBytes;
    for (const file of this.#unsent(files)) {
      if (file.bytes > room) large.push(file);
      else {
        room -= file.bytes;
        small.push({ path: file.path, content: await readFile(join(fork, file.path), "base64") });
      }
    }
    await this.#sendAll(fork, large);
    return { files, small };
  }

  #unsent(files: readonly JournalFile[]): JournalFile[] {
    return files.filter(({ path, bytes }) => !unchanging.test(path) || this.#sent.get(path) !== bytes);
  }

  async #fork(): Promise<string> {
    const number = ++this.#forks;
    const fork = join(this.#place, String(number));
    await this.#fileServer.takeSnapshot({ journal: this.#journal, name: namePin(number) });
    await this.#fileServer.forkSnapshot({ journal: this.#journal, name: namePin(number), fork, lineage: "same" });
    return fork;
  }

  async #sendAll(fork: string, files: readonly JournalFile[]): Promise<number> {
    const left = this.#unsent(files);
    const sendNext = async () => {
      for (let file = left.shift(); file !== undefined; file = left.shift())
        try {
          await this.#send(file, join(fork, file.path));
          this.#sent.set(file.path, file.bytes);
          if (unchanging.test(file.path)) this.shared.set(await identifyFile(join(fork, file.path)), file.path);
        } catch (error) {
          left.length = 0;
          throw error;
        }
    };
    const bytes = left.reduce((sum, file) => sum + file.bytes, 0);
    const sending = Array.from({ length: atOnce }, sendNext);
    // Nothing is still being sent when this rejects.
    for (const { status, reason } of (await Promise.allSettled(sending)) as PromiseRejectedResult[])
      if (status === "rejected") throw reason;
    return bytes;
  }
}

/** Gives back what a move that has ended, or was cut off, took of the journal and the disk. */
export async function sweepSending(fileServer: FileServerClient, journal: string, place: string): Promise<void> {
  await rm(place, { recursive: true, force: true });
  for (const { name } of await fileServer.listSnapshots(journal))
    if (isPinOfMove(name)) await fileServer.dropSnapshot({ journal, name });
}

/** The same for all names of a file, as long as it has one. */
export async function identifyFile(path: string): Promise<string> {
  const { dev, ino } = await stat(path);
  return `${dev}:${ino}`;
}

function namePin(number: number): string {
  return `migration-${number}`;
}

function isPinOfMove(name: string): boolean {
  return /^migration-\d+$/.test(name);
}

export async function listFiles(fork: string): Promise<JournalFile[]> {
  const files: JournalFile[] = [];
  for (const entry of await readdir(fork, { withFileTypes: true })) {
    const names = entry.isDirectory()
      ? (await readdir(join(fork, entry.name))).map((name) => `${entry.name}/${name}`)
      : [entry.name];
    for (const path of names) files.push({ path, bytes: (await stat(join(fork, path))).size });
  }
  return files;
}
