/**
 * A journal: the writable layer of one domain or of one `xeno mount` (DESIGN 3).
 *
 * - (J1) Records are chained and checksummed and carry the checksum of the data they point at; see log.ts.
 * - (J2) Space is reserved before memory is changed. When an append, flush or sync fails all the same, the journal
 *   fails closed: it answers nothing more, and the next opener replays what is on the disk.
 * - (J6) One opener at a time.
 * - (J7) A transaction is one record: after a crash all of its changes are there, with its reply, or none.
 *
 * Directory layout: `log`, `mark`, `segments/`, `identity.json` (lineage and secrets, mode 0600), `lock`.
 */
import fs from "node:fs";
import path from "node:path";
import { crc32 } from "node:zlib";
import { FileSystemError, XenoError } from "../errors.ts";
import type { FileId } from "../file-system.ts";
import { ChangeReader, ChangeWriter } from "./changes.ts";
import { type Identity, openIdentity, saveIdentity } from "./identity.ts";
import { takeLock } from "./lock.ts";
import { Log } from "./log.ts";
import { Segments } from "./segments.ts";
import { type Change, type JournalInode, JournalState } from "./state.ts";

/** Room that every transaction may use without asking the disk again: replies, attributes and names fit. */
const transactionBytes = 256 * 1024;
/** After a lost tail, inode numbers that the tail may have used are passed over. */
const skippedInodes = 2 ** 20;

export class Journal {
  readonly directory: string;
  readonly state = new JournalState();
  readonly #lock: number;
  readonly #identity: Identity;
  readonly #log: Log;
  readonly #segments: Segments;
  readonly #writer = new ChangeWriter();
  #inTransaction = false;
  #failure: unknown;
  #dirty = false;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  private constructor(directory: string) {
    this.directory = directory;
    this.#lock = takeLock(path.join(directory, "lock"), `the journal ${directory}`);
    try {
      this.#identity = openIdentity(directory);
      this.#segments = new Segments(directory);
      this.#log = new Log(directory);
      this.#log.recover((payload) => this.#replay(payload));
      for (const inode of this.state.inodes.values()) if (isOrphan(inode)) this.state.inodes.delete(inode.id);
      if (this.#identity.tailMayBeLost) this.state.nextInode += skippedInodes;
      saveIdentity(directory, { ...this.#identity, clean: false });
    } catch (error) {
      fs.closeSync(this.#lock);
      throw error;
    }
  }

  /** Opens the journal in `directory`, which is created when it is missing. Throws `in-use`, `journal-damaged`. */
  static open(directory: string): Journal {
    try {
      fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
    } catch (cause) {
      throw new XenoError("journal-unusable", `cannot create the journal directory ${directory}`, { cause });
    }
    return new Journal(directory);
  }

  get lineage(): Buffer {
    return this.#identity.lineage;
  }

  get handleKey(): Buffer {
    return this.#identity.handleKey;
  }

  get writeVerifier(): Buffer {
    return this.#identity.writeVerifier;
  }

  /** The number for a new inode of slot 0. */
  allocateInode(): FileId {
    return this.state.nextInode++;
  }

  /**
   * Runs `run`, which may `apply` changes, and makes one record of them with the reply that it returns. Whatever it
   * throws before its first change leaves the journal as it was; a throw after one is a defect and fails the journal.
   */
  transact(key: string | undefined, run: () => Buffer): Buffer {
    if (this.#inTransaction) throw new Error("transactions do not nest");
    this.#throwIfFailed();
    this.#log.reserve(transactionBytes);
    this.#inTransaction = true;
    try {
      const reply = run();
      if (this.#writer.length > 0) {
        if (key !== undefined) this.apply({ kind: "reply", key, bytes: Buffer.from(reply) });
        this.#log.append(this.#writer.bytes());
        this.#dirty = true;
      }
      return reply;
    } catch (error) {
      if (this.#writer.length > 0) this.#fail(error);
      throw error;
    } finally {
      this.#writer.clear();
      this.#inTransaction = false;
    }
  }

  /** Makes a change within a transaction. Nothing may throw between the first change and the last. */
  apply(change: Change): void {
    if (!this.#inTransaction) throw new Error("a change outside of a transaction");
    this.#writer.change(change);
    this.state.apply(change);
  }

  /** Appends file bytes; they count once a `lay` change points at them. Throws ENOSPC or EIO. */
  appendData(bytes: Buffer): { address: number; checksum: number } {
    this.#throwIfFailed();
    return { address: this.#segments.append(bytes), checksum: crc32(bytes) };
  }

  readData(address: number, length: number, target: Buffer, targetOffset: number): void {
    this.#segments.read(address, length, target, targetOffset);
  }

  /** Hands all records to the operating system: from here on they survive the death of this process. */
  flush(): void {
    this.#throwIfFailed();
    try {
      this.#log.flush();
    } catch (error) {
      throw this.#fail(error);
    }
  }

  /** Settles once everything so far is on stable storage. Callers that come while a sync runs share the next one. */
  sync(): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#next !== undefined) return this.#next;
    if (this.#running === undefined) {
      if (!this.#dirty) return Promise.resolve();
      this.#running = this.#syncNow().finally(() => {
        this.#running = undefined;
      });
      return this.#running;
    }
    // Its failure is the failure of this one too: the journal has failed by then, and #syncNow says so.
    this.#next = this.#running
      .catch(() => {})
      .then(() => {
        this.#next = undefined;
        this.#running = this.#syncNow().finally(() => {
          this.#running = undefined;
        });
        return this.#running;
      });
    return this.#next;
  }

  /** Syncs and closes. A failed journal is closed as it is. */
  async close(): Promise<void> {
    try {
      if (this.#failure === undefined) {
        this.flush();
        await this.sync();
        saveIdentity(this.directory, { ...this.#identity, clean: true });
      }
    } finally {
      this.#failure ??= new XenoError("journal-closed", `the journal ${this.directory} is closed`);
      this.#log.close();
      this.#segments.close();
      fs.closeSync(this.#lock);
    }
  }

  async #syncNow(): Promise<void> {
    this.flush();
    this.#dirty = false;
    try {
      // The data first: a synced record never points at bytes that are not there (J1).
      await this.#segments.sync();
      await this.#log.sync();
    } catch (error) {
      throw this.#fail(error);
    }
  }

  #replay(payload: Buffer): void {
    for (const change of new ChangeReader(payload).changes()) this.state.apply(change);
  }

  #throwIfFailed(): void {
    if (this.#failure !== undefined) throw new FileSystemError("EIO", String(this.#failure));
  }

  #fail(cause: unknown): unknown {
    this.#failure ??= new XenoError("journal-failed", `the journal ${this.directory} has failed and is closed`, {
      cause,
      hint: "Mend the disk, then open it again: it goes on from what was written.",
    });
    return this.#failure;
  }
}

/** A file without a name that was kept open when the process died: nobody can reach it any more. */
function isOrphan(inode: JournalInode): boolean {
  return inode.links <= 0 && inode.parent === 0;
}
