/** Charges one millionth after the other, 16 at a time, and prints what was acknowledged, until it is killed. */
import fs from "node:fs";
import { CommitQueue } from "../../../control/database/commit-queue.ts";
import { openDatabase } from "../../../control/database/open-database.ts";
import { Ledger } from "../../../control/ledger/ledger.ts";
import type { LedgerTables } from "../../../control/ledger/schema.ts";

const [file, round] = process.argv.slice(2);
const ledger = await Ledger.open(new CommitQueue(openDatabase<LedgerTables>(file!)));
let next = 0;
await Promise.all(
  Array.from({ length: 16 }, async () => {
    while (next < 50_000) {
      const id = `charge ${round}.${next++}`;
      await ledger.post({ id, hold: "order", credit: "server", amount: 1 });
      // In one system call: what was written is there also when we are killed right after it.
      fs.writeSync(1, `${id}\n`);
    }
  }),
);
