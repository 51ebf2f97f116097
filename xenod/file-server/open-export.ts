/** Opens what an export serves: the union of a journal over its layers, and NFS over that. */
import { XenoError } from "../../cowfs/errors.ts";
import type { FileId } from "../../cowfs/file-system.ts";
import { exportFileSystem, type NfsExport } from "../../cowfs/nfs/export.ts";
import type { LivesOptions } from "../../cowfs/nfs/lives.ts";
import type { TellGranted } from "../../cowfs/nfs/locks/lock-queue.ts";
import type { LockTable } from "../../cowfs/nfs/locks/lock-table.ts";
import type { ResolveLayer } from "../../cowfs/union/stack.ts";
import { openUnion, type UnionFileSystem } from "../../cowfs/union/union.ts";
import { locateFile } from "./locate-file.ts";

export const defaultInit = "/sbin/init";

export interface ExportOpening {
  readonly url: string;
  readonly journal: string;
  readonly quotaBytes?: number;
  readonly resolve: ResolveLayer;
  readonly bootEpoch: number;
  /** See cowfs/nfs/lives.ts. */
  readonly lives?: LivesOptions;
  readonly requirePrivilegedPort?: boolean;
  /** As in cowfs/nfs/export.ts. */
  readonly jukeboxMs?: number;
  readonly ioErrorAfterMs?: number;
  readonly unsafeAsync?: boolean;
  /** Default /sbin/init. */
  readonly initPath?: string;
  /** Shared by the exports of a process. */
  readonly locks?: LockTable;
  readonly tellGranted?: TellGranted;
  readonly signal: AbortSignal;
  onLayers?(): void;
  onMount?(): void;
  onInit?(): void;
  /** The file system failed closed: close this, and open it anew. */
  onFailed?(error: unknown): void;
  /** Something to know about that serving goes on in spite of. */
  onTrouble?(what: string, error: unknown): void;
}

export interface OpenedExport {
  readonly union: UnionFileSystem;
  readonly exported: NfsExport;
  /** The program of `initPath`, whose first read is told; undefined where there is none. */
  readonly init: FileId | undefined;
  /** The same file system, exported anew after `exported` was closed. */
  exportAgain(bootEpoch: number): NfsExport;
  /** Cuts the connections and closes the journal. */
  close(): Promise<void>;
}

/** Rejects with what the journal or a layer of the root rejects with, and then nothing stays open. */
export async function openExport(opening: ExportOpening): Promise<OpenedExport> {
  const { url, journal, quotaBytes, resolve, signal, onTrouble = () => {} } = opening;
  let mountError: XenoError | undefined;
  let isOpening = true;
  const union = await openUnion({
    journal,
    base: url,
    resolve,
    signal,
    limits: {
      ...(quotaBytes === undefined ? {} : { quotaBytes }),
      onFailed: (error) => onTrouble("no checkpoint of the journal", error),
    },
    onMountError: (error) => {
      if (isOpening) mountError ??= error;
      onTrouble("mount", error);
    },
  });
  try {
    // Looking for init opens what the root's `.mount` names: a deployment that cannot have it is refused here.
    const init = await locateFile(union, opening.initPath ?? defaultInit, signal).catch((error) => {
      throw mountError ?? error;
    });
    if (mountError !== undefined) throw mountError;
    opening.onLayers?.();
    isOpening = false;
    const exportWith = (bootEpoch: number, lives = opening.lives) =>
      exportFileSystem({
        fileSystem: union,
        bootEpoch,
        locks: opening.locks,
        tellGranted: opening.tellGranted,
        lives,
        requirePrivilegedPort: opening.requirePrivilegedPort,
        jukeboxMs: opening.jukeboxMs,
        ioErrorAfterMs: opening.ioErrorAfterMs,
        unsafeAsync: opening.unsafeAsync,
        watchFirstRead: init === undefined ? [] : [init],
        onFirstRead: () => opening.onInit?.(),
        onMount: () => opening.onMount?.(),
        onFailed: (error) => opening.onFailed?.(error),
        onFetchFailed: (procedure, error) => onTrouble(`data for ${procedure}`, error),
        onInternalError: (what, error) => onTrouble(`defect in ${what}`, error),
      });
    let exported = exportWith(opening.bootEpoch);
    return {
      union,
      init,
      get exported() {
        return exported;
      },
      exportAgain(bootEpoch) {
        exported = exportWith(bootEpoch, opening.lives && { ...opening.lives, isUsed: true });
        return exported;
      },
      async close() {
        exported.close();
        await union.close();
      },
    };
  } catch (error) {
    await union.close().catch(() => {});
    throw error instanceof XenoError ? error : new XenoError("export-failed", `cannot open ${url}: ${error}`);
  }
}
