/**
 * What this XenoServer must remember of migrations: `<state>/migrations/<migration>.json`.
 *
 * - (E1) The file is the truth: what the protocol saves is in it before anything that relies on it is done or said. The
 *   record of the domain names the migration as its operation, and is brought after it (source-end.ts, target-end.ts).
 * - (E2) A source's file is there before anything is sent, and stays until the target has nothing to say about it: so whoever
 *   starts again knows whom to ask. No file means `here`, or `unknown`.
 * - (E3) A target that owns the domain remembers so for a day after the source knows, for messages that were late.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { listStateFiles, readStateFile, removeStateFile, writeStateFile } from "../../state-file.ts";
import type { Peer } from "../peers/peer.ts";
import type { MigrationId } from "../protocol/messages.ts";
import type { SourceState } from "../protocol/source.ts";
import type { TargetState } from "../protocol/target.ts";

interface End {
  readonly format: 1;
  readonly migration: MigrationId;
  readonly domain: string;
  /** Ms since the epoch. */
  readonly created: number;
}

export interface OutgoingMigration extends End {
  readonly side: "source";
  readonly to: Peer;
  saved: SourceState;
}

export interface IncomingMigration extends End {
  readonly side: "target";
  /** The XenoServer that sends. */
  readonly from: string;
  saved: TargetState;
}

const day = 86_400_000;

export class MigrationEnds {
  readonly #directory: string;
  readonly #ends = new Map<MigrationId, OutgoingMigration | IncomingMigration>();

  constructor(directory: string) {
    this.#directory = directory;
  }

  async load(): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    for (const migration of await listStateFiles(this.#directory)) {
      const end = await readStateFile<OutgoingMigration | IncomingMigration>(this.#file(migration), 1);
      if (end === undefined) continue;
      const { side, saved, created } = end;
      // (E3)
      if (side === "target" && saved.state === "owned" && saved.isTold && created < Date.now() - day)
        await removeStateFile(this.#file(migration));
      else this.#ends.set(migration, end);
    }
  }

  findOutgoing(migration: MigrationId | undefined): OutgoingMigration | undefined {
    const end = migration && this.#ends.get(migration);
    return end && end.side === "source" ? end : undefined;
  }

  findIncoming(migration: MigrationId | undefined): IncomingMigration | undefined {
    const end = migration && this.#ends.get(migration);
    return end && end.side === "target" ? end : undefined;
  }

  listOutgoing(): OutgoingMigration[] {
    return [...this.#ends.values()].filter((end) => end.side === "source");
  }

  /** Makes `saved` what is remembered (E1). */
  async save<E extends OutgoingMigration | IncomingMigration>(end: E, saved: E["saved"]): Promise<void> {
    await writeStateFile(this.#file(end.migration), { ...end, saved });
    end.saved = saved;
    this.#ends.set(end.migration, end);
  }

  async forget(migration: MigrationId): Promise<void> {
    await removeStateFile(this.#file(migration));
    this.#ends.delete(migration);
  }

  #file(migration: MigrationId): string {
    return join(this.#directory, `${migration}.json`);
  }
}
