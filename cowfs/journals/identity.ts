/**
 * Who a journal is: its lineage, the key of its file handles and its write verifier (RFC 1813 section 3.3.7).
 *
 * The verifier changes exactly when unstable writes may have been lost: on an unclean re-opening under another boot of
 * the host, and after a failed sync, which may have dropped what the operating system had. The death of the process
 * alone loses nothing.
 */
import { randomBytes } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { XenoError } from "../errors.ts";
import { syncDirectory } from "./disk.ts";

export interface Identity {
  readonly lineage: Buffer;
  readonly handleKey: Buffer;
  readonly writeVerifier: Buffer;
  readonly bootId: string;
  /** False while it is open: found so, its opener died. */
  readonly clean: boolean;
  /** Found so, a sync had failed: what the operating system holds beyond the mark may not be on the disk. */
  readonly syncFailed: boolean;
  /** What had not been synced may be gone: the opener died with its host, or a sync failed. */
  readonly tailMayBeLost: boolean;
}

export function openIdentity(directory: string): Identity {
  const bootId = fs.readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim();
  const file = path.join(directory, "identity.json");
  if (!fs.existsSync(file)) {
    const created: Identity = {
      lineage: randomBytes(16),
      handleKey: randomBytes(32),
      writeVerifier: randomBytes(8),
      bootId,
      clean: true,
      syncFailed: false,
      tailMayBeLost: false,
    };
    saveIdentity(directory, created);
    return created;
  }
  const stored = parseIdentity(file);
  const tailMayBeLost = !stored.clean && (stored.syncFailed || stored.bootId !== bootId);
  return { ...stored, bootId, tailMayBeLost, writeVerifier: tailMayBeLost ? randomBytes(8) : stored.writeVerifier };
}

/** Replaces the file as a whole and syncs it, so that a crash leaves the old one or the new one. */
export function saveIdentity(directory: string, identity: Identity): void {
  const file = path.join(directory, "identity.json");
  const text = JSON.stringify({
    version: 1,
    lineage: identity.lineage.toString("hex"),
    handleKey: identity.handleKey.toString("hex"),
    writeVerifier: identity.writeVerifier.toString("hex"),
    bootId: identity.bootId,
    clean: identity.clean,
    syncFailed: identity.syncFailed,
  });
  fs.writeFileSync(`${file}.new`, `${text}\n`, { mode: 0o600, flush: true });
  fs.renameSync(`${file}.new`, file);
  syncDirectory(directory);
}

function parseIdentity(file: string): Identity {
  try {
    const stored = JSON.parse(fs.readFileSync(file, "utf8")) as Record<string, unknown>;
    const hex = (key: string, bytes: number): Buffer => {
      const value = Buffer.from(String(stored[key]), "hex");
      if (value.length !== bytes) throw new Error(`${key} is malformed`);
      return value;
    };
    return {
      lineage: hex("lineage", 16),
      handleKey: hex("handleKey", 32),
      writeVerifier: hex("writeVerifier", 8),
      bootId: String(stored.bootId),
      clean: stored.clean === true,
      syncFailed: stored.syncFailed === true,
      tailMayBeLost: false,
    };
  } catch (cause) {
    throw new XenoError("journal-damaged", `${file} does not hold a journal's identity`, {
      cause,
      hint: "Restore it from a copy: without it no client's file handles are valid.",
    });
  }
}
