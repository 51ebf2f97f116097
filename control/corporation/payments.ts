/**
 * How orders are paid: validated for a XenoServer, charged by it, closed. The policy that an order was issued under says who may
 * charge it, and when (policies/); the invariants are X1 to X4 in corporation.ts.
 */
import type { Transaction } from "kysely";
import { XenoError } from "../../cowfs/errors.ts";
import type { SigningKey } from "../../xenostore/keys/key-ring.ts";
import type { CommitQueue } from "../database/commit-queue.ts";
import type { Ledger } from "../ledger/ledger.ts";
import { formatMoney, type MicroUnits, requireAmount } from "../ledger/money.ts";
import { type OrderTexts, type SpendableOrder, verifyOrder } from "../orders/order.ts";
import { type PolicyName, policies } from "./policies/policies.ts";
import type { ValidationPolicy } from "./policies/policy.ts";
import { findPresentation, ledgerOf, requireOrder, savePresentation } from "./rows.ts";
import type { CorporationTables, PresentationTable } from "./schema.ts";

export interface AskedCharge {
  /** Chosen by the XenoServer. */
  readonly id: string;
  readonly order: string;
  readonly amount: MicroUnits;
  /** What was used, for the audit. */
  readonly used: unknown;
  /** Where the order's policy has no validation: the order as it was presented, with the first charge. */
  readonly presented?: OrderTexts;
  readonly session?: string;
}

export interface Charged {
  readonly amount: MicroUnits;
  /** What may still be charged of this order. */
  readonly left: MicroUnits;
}

export interface PaymentsOptions {
  /** The XenoCorp's name, and its key. */
  readonly name: string;
  readonly key: SigningKey;
  readonly ledger: Ledger;
  readonly commits: CommitQueue<CorporationTables>;
  readonly now: () => number;
}

export class Payments {
  readonly #options: PaymentsOptions;

  constructor(options: PaymentsOptions) {
    this.#options = options;
  }

  /**
   * Agrees to pay this XenoServer for a session, up to the order's limits. The same again is the same. Throws `order-spent`
   * where another XenoServer was first (X3), `order-foreign`, and as `verifyOrder` does.
   */
  async validate(server: string, presented: OrderTexts, session: string): Promise<{ order: string; allowed: number }> {
    const order = await this.#verify(server, presented);
    return await this.#options.commits.run(async (database) => {
      const { allowed } = await this.#present(database, server, order, session);
      return { order: order.id, allowed };
    });
  }

  /** Pays a XenoServer (X1, X2). Throws `order-unvalidated`, `order-short`, `hold-short`, `hold-closed`, `funds-short`. */
  async charge(server: string, charge: AskedCharge): Promise<Charged> {
    const { order, presented, session = "" } = charge;
    const verified = presented === undefined ? undefined : await this.#verify(server, presented);
    if (verified !== undefined && verified.id !== order)
      throw new XenoError("order-foreign", `the presented order is not ${order}`);
    return await this.#options.commits.run(async (database) => {
      const known = await findPresentation(database, order, server);
      if (known !== undefined) return await this.#pay(database, charge, known);
      const row = await requireOrder(database, order);
      if (verified === undefined || policies[row.policy as PolicyName].needsValidation)
        throw new XenoError("order-unvalidated", `${order} was not validated for this XenoServer`, {
          hint: "validate it before the session begins",
        });
      // (C3): it is short before anything is written.
      if (verified.amount < charge.amount) throw short(order, verified.amount, charge.amount);
      return await this.#pay(database, charge, {
        order,
        server,
        allowed: verified.amount,
        charged: 0,
        session,
        at: this.#options.now(),
      });
    });
  }

  /** The session is over: what is left returns to the client, where the order is this XenoServer's alone. */
  async close(server: string, order: string): Promise<void> {
    await this.#options.commits.run(async (database) => {
      if ((await findPresentation(database, order, server)) === undefined)
        throw new XenoError("order-unvalidated", `${order} was not validated for this XenoServer`);
      const policy: ValidationPolicy = policies[(await requireOrder(database, order)).policy as PolicyName];
      if (policy.isExclusive && policy.setsAside)
        await this.#options.ledger.release(order, { closedBy: server }, ledgerOf(database));
    });
  }

  async #verify(server: string, presented: OrderTexts): Promise<SpendableOrder> {
    const { name, key, now } = this.#options;
    const order = await verifyOrder(presented, { name, key: key.verifyKey }, now());
    if (order.restrictions.server !== server)
      throw new XenoError("order-foreign", `the order ${order.id} was spent with ${order.restrictions.server}`, {
        hint: `only that XenoServer can charge it, and you are ${server}`,
      });
    return order;
  }

  async #present(
    database: Transaction<CorporationTables>,
    server: string,
    { id, amount }: SpendableOrder,
    session: string,
  ): Promise<PresentationTable> {
    const known = await findPresentation(database, id, server);
    if (known !== undefined) return known;
    const row = await requireOrder(database, id);
    const policy: ValidationPolicy = policies[row.policy as PolicyName];
    if (policy.isExclusive) {
      const other = await database
        .selectFrom("presentations")
        .select("server")
        .where("order", "=", id)
        .executeTakeFirst();
      if (other !== undefined)
        throw new XenoError("order-spent", `the order ${id} was spent with another XenoServer already`, {
          hint: "ask the client for another order",
        });
    }
    if (policy.paysAtOnce) {
      const note = { prepaid: true, session };
      await this.#options.ledger.post(
        { id: `${id}/prepaid`, hold: id, credit: server, amount, note },
        ledgerOf(database),
      );
    }
    const made = { order: id, server, allowed: amount, charged: 0, session, at: this.#options.now() };
    await database.insertInto("presentations").values(made).execute();
    return made;
  }

  async #pay(
    database: Transaction<CorporationTables>,
    charge: AskedCharge,
    presentation: PresentationTable,
  ): Promise<Charged> {
    const { order, server, allowed, charged } = presentation;
    const amount = requireAmount(charge.amount, 0);
    // Names of different XenoServers do not meet.
    const id = `${order}/${server}/${charge.id}`;
    const { client, policy: policyName } = await requireOrder(database, order);
    const policy: ValidationPolicy = policies[policyName as PolicyName];
    const note = { order, session: presentation.session, charged: amount, used: charge.used };
    const within = ledgerOf(database);
    const known = await this.#options.ledger.find(id, within);
    if (known === undefined && allowed - charged < amount) throw short(order, allowed - charged, amount);
    const paid = policy.paysAtOnce ? 0 : amount;
    if (policy.setsAside)
      await this.#options.ledger.post({ id, hold: order, credit: server, amount: paid, note }, within);
    else
      await this.#options.ledger.transfer(
        { id, debit: client, credit: server, amount: requireAmount(paid), note },
        within,
      );
    const after = known === undefined ? charged + amount : charged;
    if (known === undefined) await savePresentation(database, { ...presentation, charged: after });
    return { amount, left: allowed - after };
  }
}

function short(order: string, left: MicroUnits, asked: MicroUnits): XenoError {
  return new XenoError("order-short", `${order} has ${formatMoney(left)} left for this, not ${formatMoney(asked)}`, {
    hint: "charge at most that; the client can top up with a new order",
  });
}
