/**
 * Who a journal is: its lineage, the key of its file handles and its write verifier (RFC 1813 section 3.3.7).
 *
 * The verifier changes exactly when unstable writes may have been lost: on an unclean re-opening under another boot of
 * the host, and after a failed sync, which may have dropped what the operating system had. The death of the process
 * alone loses nothing.
 *
 * The file has two lines of JSON of a fixed length, written in turn and in place: a torn write leaves the other line,
 * and a full disk can be opened and closed.
 */
import { randomBytes } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { crc32 } from "@node-rs/crc32";
import { XenoError } from "../errors.ts";
import { realDisk, syncDirectory, writeFully } from "./disk.ts";

const version = 1;
const lineBytes = 512;
const identityName = "identity";

/** What makes a file system the same one to its clients. */
export interface Secrets {
  readonly lineage: Buffer;
  readonly handleKey: Buffer;
  readonly writeVerifier: Buffer;
}

interface Stored extends Secrets {
  /** Of the host, when it was last opened. */
  readonly bootId: string;
  /** False while it is open: found so, its opener died. */
  readonly clean: boolean;
  /** Found so, a sync had failed: what the operating system holds beyond the mark may not be on the disk. */
  readonly syncFailed: boolean;
  /** Then: how many records had been synced before. The mark may lag, and without it they would go with the rest. */
  readonly syncedRecords?: number;
}

export class Identity {
  readonly lineage: Buffer;
  readonly handleKey: Buffer;
  readonly writeVerifier: Buffer;
  /** A sync had failed before this opening. */
  readonly syncFailed: boolean;
  /** So many records had been synced at least. */
  readonly syncedRecords: number;
  /** What had not been synced may be gone: the opener before died with its host, or a sync failed. */
  readonly tailMayBeLost: boolean;
  readonly #file: number;
  readonly #bootId: string;
  #line: number;

  /** Throws `journal-damaged`, `journal-too-new`. */
  constructor(directory: string) {
    const file = path.join(directory, identityName);
    if (!fs.existsSync(file)) createIdentity(directory);
    const { line, ...stored } = readIdentity(file);
    this.lineage = stored.lineage;
    this.handleKey = stored.handleKey;
    this.syncFailed = stored.syncFailed;
    this.syncedRecords = stored.syncedRecords ?? 0;
    this.#bootId = readBootId();
    this.tailMayBeLost = !stored.clean && (stored.syncFailed || stored.bootId !== this.#bootId);
    this.writeVerifier = this.tailMayBeLost ? randomBytes(8) : stored.writeVerifier;
    this.#file = fs.openSync(file, "r+");
    this.#line = line;
  }

  /** Writes and syncs what the next opener is to find. */
  save(state: Pick<Stored, "clean" | "syncFailed" | "syncedRecords">): void {
    this.#line++;
    const { lineage, handleKey, writeVerifier } = this;
    const text = formatLine(this.#line, { lineage, handleKey, writeVerifier, bootId: this.#bootId, ...state });
    writeFully(realDisk, this.#file, Buffer.from(text, "latin1"), (this.#line % 2) * lineBytes);
    fs.fdatasyncSync(this.#file);
  }

  close(): void {
    fs.closeSync(this.#file);
  }
}

/** Whether a directory is a journal's: for who takes either that or any other. */
export function holdsJournal(directory: string): boolean {
  return [identityName, "mark", "segments"].every((name) => fs.existsSync(path.join(directory, name)));
}

function readBootId(): string {
  return fs.readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim();
}

/** Writes and syncs the identity of a new journal: that of the one that it continues, or one of its own. */
export function createIdentity(directory: string, continued?: Secrets): void {
  const file = path.join(directory, identityName);
  const stored: Stored = {
    lineage: continued?.lineage ?? randomBytes(16),
    handleKey: continued?.handleKey ?? randomBytes(32),
    writeVerifier: continued?.writeVerifier ?? randomBytes(8),
    bootId: readBootId(),
    clean: true,
    syncFailed: false,
  };
  fs.writeFileSync(`${file}.new`, formatLine(0, stored) + formatLine(1, stored), { mode: 0o600, flush: true });
  fs.renameSync(`${file}.new`, file);
  syncDirectory(directory);
}

function formatLine(line: number, stored: Stored): string {
  const hex = (bytes: Buffer) => bytes.toString("hex");
  const { lineage, handleKey, writeVerifier, ...rest } = stored;
  const fields = { lineage: hex(lineage), handleKey: hex(handleKey), writeVerifier: hex(writeVerifier), ...rest };
  const text = JSON.stringify({ version, line, ...fields });
  return `${`${checksumOf(text)} ${text}`.padEnd(lineBytes - 1)}\n`;
}

function checksumOf(text: string): string {
  return crc32(text).toString(16).padStart(8, "0");
}

/** The newer line of those that are whole. */
function readIdentity(file: string): Stored & { line: number } {
  const lines = fs.readFileSync(file, "latin1").split("\n").map(parseLine);
  const whole = lines.filter((line) => line !== undefined);
  whole.sort((a, b) => b.line - a.line);
  const [newest] = whole;
  if (newest === undefined)
    throw new XenoError("journal-damaged", `${file} does not hold a journal's identity`, {
      hint: "Restore it from a copy: without it no client's file handles are valid.",
    });
  if (newest.version > version)
    throw new XenoError("journal-too-new", `${file} has version ${newest.version}, this is version ${version}`, {
      hint: "Open it with the newer release that wrote it.",
    });
  return newest;
}

function parseLine(padded: string): (Stored & { line: number; version: number }) | undefined {
  const text = padded.slice(9).trimEnd();
  if (text === "" || padded.slice(0, 9) !== `${checksumOf(text)} `) return undefined;
  const { lineage, handleKey, writeVerifier, ...rest } = JSON.parse(text);
  const bytes = (hex: string) => Buffer.from(hex, "hex");
  return { ...rest, lineage: bytes(lineage), handleKey: bytes(handleKey), writeVerifier: bytes(writeVerifier) };
}
