/**
 * The target's half of a history's move (send-checkpoints.ts). Each checkpoint gets a journal of its own, with its pin, so that each can be
 * resumed and removed as one that was taken here; what they share, they share on this disk too.
 *
 * (C1) in checkpoints.ts holds: the manifest comes last. Cut off before the domain is handed over, all of it goes with its record.
 */
import { link, mkdir, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Readable } from "node:stream";
import { XenoError } from "../../../cowfs/errors.ts";
import type { Checkpoints } from "../../checkpoints/checkpoints.ts";
import type { CheckpointManifest } from "../../checkpoints/manifest.ts";
import type { FileServerClient } from "../../file-server/client.ts";
import { type Arriving, completeJournal, receiveFile, requireJournalPath } from "./receive-journal.ts";
import { type CheckpointFile, memoryPath, theJournal } from "./send-checkpoints.ts";
import type { JournalFile } from "./send-journal.ts";

export class CheckpointReceiver {
  readonly #directory: string;
  readonly #checkpoints: Checkpoints;
  readonly #fileServer: FileServerClient;

  /** `directory`: the domain's own. */
  constructor(directory: string, checkpoints: Checkpoints, fileServer: FileServerClient) {
    this.#directory = directory;
    this.#checkpoints = checkpoints;
    this.#fileServer = fileServer;
  }

  /** On stable storage when it settles. */
  async receiveFile({ checkpoint, path }: CheckpointFile, content: Readable, arriving: Arriving): Promise<void> {
    if (path === memoryPath) {
      const memory = this.#checkpoints.pathOf(checkpoint, memoryPath);
      return await receiveFile(dirname(memory), memoryPath, content, arriving);
    }
    await receiveFile(this.#journalOf(checkpoint), path, content, arriving);
  }

  /** The file is one that is here already, of a checkpoint or of the domain's journal. Throws `reception-failed`. */
  async linkFile({ checkpoint, path }: CheckpointFile, same: CheckpointFile): Promise<void> {
    requireJournalPath(path);
    requireJournalPath(same.path);
    const file = join(this.#journalOf(checkpoint), path);
    try {
      await mkdir(dirname(file), { recursive: true, mode: 0o700 });
      await rm(file, { force: true });
      await link(join(this.#journalOf(same.checkpoint), same.path), file);
    } catch (cause) {
      throw new XenoError("reception-failed", `${same.path} is not here for ${path}: ${(cause as Error).message}`, {
        cause,
      });
    }
  }

  /** From here on there is this checkpoint. */
  async keep(manifest: CheckpointManifest, files: readonly JournalFile[]): Promise<void> {
    const { number, memory } = manifest;
    const found = await stat(this.#checkpoints.pathOf(number, memoryPath)).catch(() => undefined);
    if (found?.size !== memory.bytes)
      throw new XenoError("reception-failed", `the memory of checkpoint ${number} has ${found?.size ?? "no"} bytes`);
    const journal = this.#journalOf(number);
    await completeJournal(journal, files);
    const { pin } = manifest.journal;
    await this.#fileServer.takeSnapshot({ journal, name: pin });
    await this.#checkpoints.keep({ ...manifest, journal: { directory: nameJournal(number), pin } });
  }

  #journalOf(checkpoint: number): string {
    return join(this.#directory, nameJournal(checkpoint));
  }
}

/** The domain's own is `journal`, and a resumed one's is past all that there are. */
function nameJournal(checkpoint: number): string {
  return checkpoint === theJournal ? "journal" : `journal-${checkpoint + 1}`;
}
