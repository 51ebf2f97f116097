/** (L5): a process that is killed at any instant has lost nothing that it acknowledged. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import test from "ava";
import { CommitQueue } from "../../../control/database/commit-queue.ts";
import { openDatabase } from "../../../control/database/open-database.ts";
import { Ledger } from "../../../control/ledger/ledger.ts";
import type { LedgerTables } from "../../../control/ledger/schema.ts";
import { openScratch } from "./scratch.ts";

const kills = 4;

test("killed at any instant, a ledger has all that it acknowledged, once, and its sums are right", async (t) => {
  await openScratch(async ({ file, ledger, database }) => {
    await ledger.openAccount("client");
    await ledger.openAccount("server");
    await ledger.transfer({ id: "in", debit: "outside", credit: "client", amount: 1_000_000 });
    await ledger.hold({ id: "order", debit: "client", amount: 500_000 });
    await database.destroy();
    const acknowledged = new Set<string>();
    for (let round = 0; round < kills; round++) {
      const seen = await chargeUntilKilled(file, round, 20 + round * 37);
      t.true(seen.length > 0);
      for (const id of seen) acknowledged.add(id);
    }
    const again = openDatabase<LedgerTables>(file);
    try {
      const reopened = await Ledger.open(new CommitQueue(again));
      const posts = new Map<string, number>();
      for (let after = 0; ; ) {
        const page = await reopened.list({ hold: "order", after });
        if (page.length === 0) break;
        for (const { id, kind } of page) if (kind === "post") posts.set(id, (posts.get(id) ?? 0) + 1);
        after = page.at(-1)!.sequence;
      }
      t.deepEqual(
        [...acknowledged].filter((id) => posts.get(id) !== 1),
        [],
      );
      t.like(await reopened.balance("server"), { posted: posts.size });
      t.like(await reopened.balance("client"), { posted: 1_000_000 - posts.size, held: 500_000 - posts.size });
      t.like(await reopened.balance("outside"), { posted: -1_000_000 });
    } finally {
      await again.destroy();
    }
  });
});

/** The ids that a process acknowledged before it was killed, after about so many of them. */
async function chargeUntilKilled(file: string, round: number, count: number): Promise<string[]> {
  const program = new URL("charging-process.ts", import.meta.url).pathname;
  const child = spawn(process.execPath, [program, file, String(round)], { stdio: ["ignore", "pipe", "inherit"] });
  const exited = new Promise((resolve) => child.once("exit", resolve));
  const acknowledged: string[] = [];
  for await (const id of createInterface({ input: child.stdout })) {
    acknowledged.push(id);
    if (acknowledged.length >= count) child.kill("SIGKILL");
  }
  await exited;
  return acknowledged;
}
