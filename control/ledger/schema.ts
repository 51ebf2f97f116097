/** The ledger's tables. Rows of `transfers` are never changed; the rest is their sum, kept so that nothing is ever added up. */
import type { Kysely } from "kysely";
import type { MicroUnits } from "./money.ts";

export interface AccountTable {
  id: string;
  /** It may owe so much; 2^53 - 1: it is the world outside, from which money comes and to which it goes. */
  credit_limit: MicroUnits;
  posted: MicroUnits;
  /** Held for what is not yet known: part of `posted`. */
  held: MicroUnits;
}

export interface TransferTable {
  /** In the order in which they were made, from 1. */
  sequence: number;
  /** Chosen by who asks: asking again is the same transfer (L1). */
  id: string;
  kind: "transfer" | "hold" | "post" | "release";
  debit: string;
  credit: string;
  amount: MicroUnits;
  /** The hold that a `post` or a `release` is of. */
  hold: string | null;
  /** What it was for, as JSON: the audit trail. */
  note: string;
  /** Ms since the epoch. */
  at: number;
}

export interface HoldTable {
  id: string;
  debit: string;
  /** What was neither posted nor released. */
  left_over: MicroUnits;
  open: 0 | 1;
}

export interface LedgerTables {
  accounts: AccountTable;
  transfers: TransferTable;
  holds: HoldTable;
}

/** Makes the tables that are not there yet. */
export async function createLedgerTables(database: Kysely<LedgerTables>): Promise<void> {
  const { schema } = database;
  await schema
    .createTable("accounts")
    .ifNotExists()
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("credit_limit", "bigint", (column) => column.notNull())
    .addColumn("posted", "bigint", (column) => column.notNull())
    .addColumn("held", "bigint", (column) => column.notNull())
    .execute();
  await schema
    .createTable("transfers")
    .ifNotExists()
    .addColumn("sequence", "bigint", (column) => column.primaryKey())
    .addColumn("id", "text", (column) => column.notNull().unique())
    .addColumn("kind", "text", (column) => column.notNull())
    .addColumn("debit", "text", (column) => column.notNull().references("accounts.id"))
    .addColumn("credit", "text", (column) => column.notNull().references("accounts.id"))
    .addColumn("amount", "bigint", (column) => column.notNull())
    .addColumn("hold", "text", (column) => column.references("holds.id"))
    .addColumn("note", "text", (column) => column.notNull())
    .addColumn("at", "bigint", (column) => column.notNull())
    .execute();
  await schema
    .createTable("holds")
    .ifNotExists()
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("debit", "text", (column) => column.notNull().references("accounts.id"))
    .addColumn("left_over", "bigint", (column) => column.notNull())
    .addColumn("open", "integer", (column) => column.notNull())
    .execute();
  await schema.createIndex("transfers_of_hold").ifNotExists().on("transfers").columns(["hold", "sequence"]).execute();
  for (const side of ["debit", "credit"] as const)
    await schema
      .createIndex(`transfers_of_${side}`)
      .ifNotExists()
      .on("transfers")
      .columns([side, "sequence"])
      .execute();
}
