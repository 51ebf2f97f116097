import { rmSync } from "node:fs";
import { join } from "node:path";
import type { Kysely } from "kysely";
import { CommitQueue } from "../../../control/database/commit-queue.ts";
import { openDatabase } from "../../../control/database/open-database.ts";
import { Ledger, unlimited } from "../../../control/ledger/ledger.ts";
import type { LedgerTables } from "../../../control/ledger/schema.ts";
import { makeFastDirectory } from "../../cowfs/fast-directory.ts";

export interface Scratch {
  readonly file: string;
  readonly database: Kysely<LedgerTables>;
  readonly ledger: Ledger;
}

/** A ledger in a new file with an account of the world outside, which may owe. */
export async function openScratch(run: (scratch: Scratch) => Promise<void>): Promise<void> {
  const directory = makeFastDirectory();
  const file = join(directory, "ledger.sqlite");
  const database = openDatabase<LedgerTables>(file);
  try {
    const ledger = await Ledger.open(new CommitQueue(database));
    await ledger.openAccount("outside", unlimited);
    await run({ file, database, ledger });
  } finally {
    await database.destroy();
    rmSync(directory, { recursive: true });
  }
}
