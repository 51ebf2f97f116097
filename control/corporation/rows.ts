/** The rows of a XenoCorp's tables, within a unit of work. */
import type { Transaction } from "kysely";
import { XenoError } from "../../cowfs/errors.ts";
import type { LedgerTables } from "../ledger/schema.ts";
import type { CorporationTables, OrderTable, PresentationTable } from "./schema.ts";

export function ledgerOf(database: Transaction<CorporationTables>): Transaction<LedgerTables> {
  return database as unknown as Transaction<LedgerTables>;
}

export function findOrder(database: Transaction<CorporationTables>, id: string): Promise<OrderTable | undefined> {
  return database.selectFrom("orders").selectAll().where("id", "=", id).executeTakeFirst();
}

export async function requireOrder(database: Transaction<CorporationTables>, id: string): Promise<OrderTable> {
  const order = await findOrder(database, id);
  if (order === undefined) throw unknownOrder(id);
  return order;
}

export function findPresentation(
  database: Transaction<CorporationTables>,
  order: string,
  server: string,
): Promise<PresentationTable | undefined> {
  const query = database.selectFrom("presentations").selectAll();
  return query.where("order", "=", order).where("server", "=", server).executeTakeFirst();
}

export async function savePresentation(
  database: Transaction<CorporationTables>,
  row: PresentationTable,
): Promise<void> {
  const { order, server, charged } = row;
  const updated = await database
    .updateTable("presentations")
    .set({ charged })
    .where("order", "=", order)
    .where("server", "=", server)
    .executeTakeFirst();
  if (updated.numUpdatedRows === 0n) await database.insertInto("presentations").values(row).execute();
}

export function unknownOrder(id: string): XenoError {
  return new XenoError("order-unknown", `this XenoCorp has issued no order ${id}`, {
    hint: "xeno order ls shows yours",
  });
}
