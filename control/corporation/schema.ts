/** A XenoCorp's tables beside its ledger. */
import type { Kysely } from "kysely";
import type { Role } from "../credentials/credential.ts";
import { createLedgerTables, type LedgerTables } from "../ledger/schema.ts";

export interface HolderTable {
  /** Says nothing of who it is. */
  id: string;
  role: Role;
  key_id: string;
  name: string;
  /** As it was registered, JSON. */
  details: string;
  /** Ms since the epoch. */
  registered: number;
}

export interface OrderTable {
  id: string;
  client: string;
  /** Micro-units. */
  amount: number;
  /** The validation policy that it was issued under. */
  policy: string;
  expires: number;
  /** What the client asked for, JSON: the same again is the same order. */
  asked: string;
  /** The text that was issued, JSON. */
  texts: string;
}

/** An order that was validated for, or charged by, a XenoServer. */
export interface PresentationTable {
  order: string;
  server: string;
  /** Micro-units, at most, by what the holders allowed. */
  allowed: number;
  charged: number;
  /** The XenoServer's session that it pays. */
  session: string;
  at: number;
}

export interface CorporationTables extends LedgerTables {
  holders: HolderTable;
  orders: OrderTable;
  presentations: PresentationTable;
}

/** Makes the tables that are not there yet. */
export async function createCorporationTables(database: Kysely<CorporationTables>): Promise<void> {
  await createLedgerTables(database as unknown as Kysely<LedgerTables>);
  const { schema } = database;
  await schema
    .createTable("holders")
    .ifNotExists()
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("role", "text", (column) => column.notNull())
    .addColumn("key_id", "text", (column) => column.notNull().unique())
    .addColumn("name", "text", (column) => column.notNull())
    .addColumn("details", "text", (column) => column.notNull())
    .addColumn("registered", "bigint", (column) => column.notNull())
    .execute();
  await schema
    .createTable("orders")
    .ifNotExists()
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("client", "text", (column) => column.notNull().references("holders.id"))
    .addColumn("amount", "bigint", (column) => column.notNull())
    .addColumn("policy", "text", (column) => column.notNull())
    .addColumn("expires", "bigint", (column) => column.notNull())
    .addColumn("asked", "text", (column) => column.notNull())
    .addColumn("texts", "text", (column) => column.notNull())
    .execute();
  await schema.createIndex("orders_by_expiry").ifNotExists().on("orders").column("expires").execute();
  await schema
    .createTable("presentations")
    .ifNotExists()
    .addColumn("order", "text", (column) => column.notNull().references("orders.id"))
    .addColumn("server", "text", (column) => column.notNull().references("holders.id"))
    .addColumn("allowed", "bigint", (column) => column.notNull())
    .addColumn("charged", "bigint", (column) => column.notNull())
    .addColumn("session", "text", (column) => column.notNull())
    .addColumn("at", "bigint", (column) => column.notNull())
    .addPrimaryKeyConstraint("presentations_key", ["order", "server"])
    .execute();
}
