/**
 * The source's half of a history's move: each checkpoint with its memory and a fork of its journal at its pin, while the guest runs.
 *
 * Checkpoints of one guest share nearly all of their journals, as hard links (F2 in cowfs/journals/fork.ts): what was sent already
 * under another name is named, not sent, so the history takes there what it takes here.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { CheckpointManifest } from "../../checkpoints/manifest.ts";
import type { FileServerClient } from "../../file-server/client.ts";
import { identifyFile, type JournalFile, listFiles } from "./send-journal.ts";

/** A file of a checkpoint's journal, or its memory, as the target keeps it. */
export interface CheckpointFile {
  /** Its number; `theJournal`: it is of the domain's own. */
  readonly checkpoint: number;
  readonly path: string;
}

export const theJournal = 0;
export const memoryPath = "memory";

/** What a target is told; each settles when it is on stable storage there. */
export interface CheckpointTarget {
  sendFile(file: CheckpointFile, from: string, bytes: number): Promise<void>;
  linkFile(file: CheckpointFile, same: CheckpointFile): Promise<void>;
  /** From here on the target has this checkpoint. */
  keep(manifest: CheckpointManifest, files: readonly JournalFile[]): Promise<void>;
}

/** A checkpoint, and where its memory and its journal are. */
export interface SentCheckpoint {
  readonly manifest: CheckpointManifest;
  readonly memory: string;
  readonly journal: string;
}

export interface CheckpointSending {
  readonly fileServer: FileServerClient;
  /** Where forks are made, on the journals' file system; whoever gave it removes it. */
  readonly place: string;
  /** What the target has of the domain's journal, and stays here: see `JournalSender.shared`. */
  readonly shared: ReadonlyMap<string, string>;
  readonly target: CheckpointTarget;
  readonly signal: AbortSignal;
}

export async function sendCheckpoints(checkpoints: readonly SentCheckpoint[], sending: CheckpointSending) {
  const { fileServer, place, shared, target, signal } = sending;
  const sent = new Map(
    [...shared].map(([id, path]): [string, CheckpointFile] => [id, { checkpoint: theJournal, path }]),
  );
  for (const { manifest, memory, journal } of checkpoints) {
    const checkpoint = manifest.number;
    const fork = join(place, `checkpoint-${checkpoint}`);
    await rm(fork, { recursive: true, force: true });
    await fileServer.forkSnapshot({ journal, name: manifest.journal.pin, fork, lineage: "same" });
    const files = await listFiles(fork);
    for (const { path, bytes } of files) {
      signal.throwIfAborted();
      const from = join(fork, path);
      const id = await identifyFile(from);
      const same = sent.get(id);
      if (same === undefined) await target.sendFile({ checkpoint, path }, from, bytes);
      else await target.linkFile({ checkpoint, path }, same);
      // The fork stays until all are sent, so that no other file gets its inode.
      sent.set(id, same ?? { checkpoint, path });
    }
    await target.sendFile({ checkpoint, path: memoryPath }, memory, manifest.memory.bytes);
    await target.keep(manifest, files);
  }
}
