/**
 * Double-entry accounts with holds (two-phase transfers, as TigerBeetle has them; here a hold may be posted in parts).
 *
 * - (L1) A transfer is made once, however often it is asked for: the same id with the same content is answered as the first
 *   time, and with other content refused. It is never changed.
 * - (L2) Money is conserved: the balances of all accounts sum to zero.
 * - (L3) An account never has less than what is held of it, beyond its credit limit: nothing is spent twice.
 * - (L4) Of a hold, what was posted, what was released and what is left over sum to its amount.
 * - (L5) What was acknowledged is on stable storage (C1 in ../database/commit-queue.ts).
 */
import type { Kysely, Transaction } from "kysely";
import { XenoError } from "../../cowfs/errors.ts";
import type { CommitQueue, Work } from "../database/commit-queue.ts";
import { formatMoney, type MicroUnits, requireAmount } from "./money.ts";
import { createLedgerTables, type HoldTable, type LedgerTables, type TransferTable } from "./schema.ts";

export interface Balance {
  readonly account: string;
  /** What it has, held money included; below zero where it owes. */
  readonly posted: MicroUnits;
  readonly held: MicroUnits;
  /** What it can spend. */
  readonly available: MicroUnits;
}

/** Who asks chooses the id. The note says what it is for, as JSON. */
interface Asked {
  readonly id: string;
  readonly amount: MicroUnits;
  readonly note?: unknown;
}

export interface AskedTransfer extends Asked {
  readonly debit: string;
  readonly credit: string;
}

export interface AskedHold extends Asked {
  readonly debit: string;
}

/** Takes `amount` of a hold to `credit`; 0 only records what it says. */
export interface AskedPost extends Asked {
  readonly hold: string;
  readonly credit: string;
}

export interface Transfer {
  readonly sequence: number;
  readonly id: string;
  readonly kind: TransferTable["kind"];
  readonly debit: string;
  readonly credit: string;
  readonly amount: MicroUnits;
  readonly hold?: string;
  readonly note: unknown;
  readonly at: number;
}

/** The credit limit of the world outside. */
export const unlimited: MicroUnits = Number.MAX_SAFE_INTEGER;
const maxNoteBytes = 16 * 1024;
const maxIdLength = 200;
const maxPage = 1000;
const releaseSuffix = "/release";

/**
 * Each operation is a unit of work of its own, or part of the caller's where that is given as `within`: then, as every unit (C3
 * in ../database/commit-queue.ts), it refuses before it changes anything.
 */
export class Ledger {
  readonly #commits: CommitQueue<LedgerTables>;
  readonly #now: () => number;

  static async open(commits: CommitQueue<LedgerTables>, now: () => number = Date.now): Promise<Ledger> {
    await commits.run(createLedgerTables);
    return new Ledger(commits, now);
  }

  private constructor(commits: CommitQueue<LedgerTables>, now: () => number) {
    this.#commits = commits;
    this.#now = now;
  }

  /**
   * Opens an account; one that is there stays as it is. It may owe up to `creditLimit`; without a limit it stands for the
   * world outside.
   */
  async openAccount(id: string, creditLimit: MicroUnits = 0, within?: Transaction<LedgerTables>): Promise<void> {
    requireAmount(creditLimit, 0);
    await this.#run(within, async (database) => {
      const known = await database.selectFrom("accounts").select("id").where("id", "=", id).executeTakeFirst();
      if (known !== undefined) return;
      await database.insertInto("accounts").values({ id, credit_limit: creditLimit, posted: 0, held: 0 }).execute();
    });
  }

  /** Throws `funds-short`, `account-unknown`, `transfer-conflict` (L1), `amount-invalid`. */
  async transfer(
    { id, debit, credit, amount, note }: AskedTransfer,
    within?: Transaction<LedgerTables>,
  ): Promise<Transfer> {
    const row = this.#describe({ id, kind: "transfer", debit, credit, amount, hold: null, note });
    return await this.#once(within, row, async (database) => {
      await this.#requireFunds(database, debit, amount);
      await this.#findAccount(database, credit);
      await this.#move(database, debit, credit, amount);
    });
  }

  /** Sets money of an account aside. Throws as `transfer` does. */
  async hold({ id, debit, amount, note }: AskedHold, within?: Transaction<LedgerTables>): Promise<Transfer> {
    const row = this.#describe({ id, kind: "hold", debit, credit: debit, amount, hold: id, note });
    return await this.#once(within, row, async (database) => {
      await this.#requireFunds(database, debit, amount);
      await database.insertInto("holds").values({ id, debit, left_over: amount, open: 1 }).execute();
      await this.#changeHeld(database, debit, amount);
    });
  }

  /** Pays from a hold. Throws `hold-unknown`, `hold-closed`, `hold-short`, and as `transfer` does. */
  async post({ id, hold, credit, amount, note }: AskedPost, within?: Transaction<LedgerTables>): Promise<Transfer> {
    return await this.#run(within, async (database) => {
      const { debit } = await this.#findHold(database, hold);
      const row = this.#describe({ id, kind: "post", debit, credit, amount, hold, note }, 0);
      return await this.#record(database, row, async () => {
        const { left_over, open } = await this.#findHold(database, hold);
        if (open === 0) throw new XenoError("hold-closed", `${hold} was released`, { hint: "ask for a new order" });
        if (left_over < amount)
          throw new XenoError("hold-short", `${hold} has ${formatMoney(left_over)} left, not ${formatMoney(amount)}`, {
            hint: "ask for at most that, or for a new order",
          });
        await this.#findAccount(database, credit);
        await database
          .updateTable("holds")
          .set({ left_over: left_over - amount })
          .where("id", "=", hold)
          .execute();
        await this.#changeHeld(database, debit, -amount);
        await this.#move(database, debit, credit, amount);
      });
    });
  }

  /** Ends a hold: what is left of it can be spent again. Ended already, nothing happens. Throws `hold-unknown`. */
  async release(hold: string, note?: unknown, within?: Transaction<LedgerTables>): Promise<Transfer | undefined> {
    return await this.#run(within, async (database) => {
      const { debit, left_over, open } = await this.#findHold(database, hold);
      if (open === 0) return undefined;
      const asked = {
        id: `${hold}${releaseSuffix}`,
        kind: "release",
        debit,
        credit: debit,
        amount: left_over,
        hold,
        note,
      } as const;
      return await this.#record(database, this.#describe(asked, 0), async () => {
        await database.updateTable("holds").set({ left_over: 0, open: 0 }).where("id", "=", hold).execute();
        await this.#changeHeld(database, debit, -left_over);
      });
    });
  }

  /** The transfer of an id, if it was made. */
  async find(id: string, within?: Transaction<LedgerTables>): Promise<Transfer | undefined> {
    const row = await this.#run(within, (database) => findTransfer(database, id));
    return row === undefined ? undefined : showTransfer(row);
  }

  /** Throws `account-unknown`. */
  async balance(account: string): Promise<Balance> {
    const { posted, held, credit_limit } = await this.#commits.run((database) => this.#findAccount(database, account));
    return { account, posted, held, available: posted - held + credit_limit };
  }

  /** What is left over of a hold; 0 once it is closed. Throws `hold-unknown`. */
  async leftOver(hold: string): Promise<MicroUnits> {
    return (await this.#commits.run((database) => this.#findHold(database, hold))).left_over;
  }

  /** The transfers of a hold, or those that an account takes part in, in order; at most 1,000 after `after`. */
  list({ hold, account, after = 0, limit = maxPage }: ListOptions): Promise<Transfer[]> {
    return this.#commits.run(async (database) => {
      let query = database.selectFrom("transfers").selectAll().where("sequence", ">", after);
      if (hold !== undefined) query = query.where("hold", "=", hold);
      if (account !== undefined)
        query = query.where(({ eb, or }) => or([eb("debit", "=", account), eb("credit", "=", account)]));
      const rows = await query.orderBy("sequence").limit(Math.min(limit, maxPage)).execute();
      return rows.map(showTransfer);
    });
  }

  #once(
    within: Transaction<LedgerTables> | undefined,
    row: NewTransfer,
    act: (database: Transaction<LedgerTables>) => Promise<void>,
  ): Promise<Transfer> {
    return this.#run(within, (database) => this.#record(database, row, () => act(database)));
  }

  /** In the caller's unit of work, or in one of its own. */
  #run<Result>(within: Transaction<LedgerTables> | undefined, work: Work<LedgerTables, Result>): Promise<Result> {
    return within === undefined ? this.#commits.run(work) : work(within);
  }

  /** (L1): `act` runs only where the id is new, and the transfer is recorded with what it does. */
  async #record(database: Transaction<LedgerTables>, row: NewTransfer, act: () => Promise<void>): Promise<Transfer> {
    const known = await findTransfer(database, row.id);
    if (known !== undefined) {
      if (isSame(known, row)) return showTransfer(known);
      throw new XenoError("transfer-conflict", `${row.id} is the id of another transfer`, { hint: "use a new id" });
    }
    await act();
    const last = await database
      .selectFrom("transfers")
      .select("sequence")
      .orderBy("sequence", "desc")
      // `executeTakeFirst` reads all that the query finds.
      .limit(1)
      .executeTakeFirst();
    const made: TransferTable = { sequence: (last?.sequence ?? 0) + 1, at: this.#now(), ...row };
    await database.insertInto("transfers").values(made).execute();
    return showTransfer(made);
  }

  #describe(asked: Omit<NewTransfer, "note"> & { note?: unknown }, least = 1): NewTransfer {
    const note = JSON.stringify(asked.note ?? null);
    // The id of a release is ours: nobody else may take it before.
    const isTaken = asked.kind !== "release" && asked.id.endsWith(releaseSuffix);
    if (note.length > maxNoteBytes || asked.id === "" || asked.id.length > maxIdLength || isTaken)
      throw new XenoError("transfer-invalid", `${asked.id.slice(0, maxIdLength)} cannot be recorded`, {
        hint: `an id has 1 to ${maxIdLength} characters and does not end in ${releaseSuffix}; a note has at most ${maxNoteBytes} bytes`,
      });
    return { ...asked, amount: requireAmount(asked.amount, least), note };
  }

  async #requireFunds(database: Transaction<LedgerTables>, id: string, amount: MicroUnits): Promise<void> {
    const { posted, held, credit_limit } = await this.#findAccount(database, id);
    const available = posted - held + credit_limit;
    // Of the world outside it may be beyond 2^53, and is then only more than enough.
    if (available >= amount) return;
    throw new XenoError("funds-short", `${id} can spend ${formatMoney(available)}, not ${formatMoney(amount)}`, {
      hint: "pay in first, or release an order that is not needed",
    });
  }

  async #findAccount(database: Kysely<LedgerTables>, id: string) {
    const account = await database.selectFrom("accounts").selectAll().where("id", "=", id).executeTakeFirst();
    if (account !== undefined) return account;
    throw new XenoError("account-unknown", `there is no account ${id}`, { hint: "register first" });
  }

  async #findHold(database: Kysely<LedgerTables>, id: string): Promise<HoldTable> {
    const hold = await database.selectFrom("holds").selectAll().where("id", "=", id).executeTakeFirst();
    if (hold !== undefined) return hold;
    throw new XenoError("hold-unknown", `no money is held for ${id}`);
  }

  async #move(database: Transaction<LedgerTables>, debit: string, credit: string, amount: MicroUnits): Promise<void> {
    await this.#changePosted(database, debit, -amount);
    await this.#changePosted(database, credit, amount);
  }

  async #changePosted(database: Transaction<LedgerTables>, id: string, change: number): Promise<void> {
    await database
      .updateTable("accounts")
      .set(({ eb }) => ({ posted: eb("posted", "+", change) }))
      .where("id", "=", id)
      .execute();
  }

  async #changeHeld(database: Transaction<LedgerTables>, id: string, change: number): Promise<void> {
    await database
      .updateTable("accounts")
      .set(({ eb }) => ({ held: eb("held", "+", change) }))
      .where("id", "=", id)
      .execute();
  }
}

export interface ListOptions {
  readonly hold?: string;
  readonly account?: string;
  /** A transfer's sequence. */
  readonly after?: number;
  readonly limit?: number;
}

type NewTransfer = Omit<TransferTable, "sequence" | "at">;

function findTransfer(database: Transaction<LedgerTables>, id: string): Promise<TransferTable | undefined> {
  return database.selectFrom("transfers").selectAll().where("id", "=", id).executeTakeFirst();
}

function isSame(known: TransferTable, asked: NewTransfer): boolean {
  const keys = ["kind", "debit", "credit", "amount", "hold", "note"] as const;
  return keys.every((key) => known[key] === asked[key]);
}

function showTransfer({ hold, note, ...row }: TransferTable): Transfer {
  return { ...row, ...(hold === null ? {} : { hold }), note: JSON.parse(note) };
}
