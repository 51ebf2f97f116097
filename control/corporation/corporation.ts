/**
 * A XenoCorp: the third party whom clients and XenoServers trust with their money (control paper, section II-B).
 *
 * - (X1) An order is paid at most up to its amount, whoever charges and however often a request is sent: money that was set
 *   aside is a hold (L3, L4), each charge one transfer of an id that its XenoServer chose (L1).
 * - (X2) A XenoServer is paid only from an order that its last holder spent with it (O2), and only up to what all texts allow (O3).
 * - (X3) Of an exclusive order the first XenoServer that validates it is the only one that ever charges.
 * - (X4) A charge and what it says was used are one record: the audit trail has every micro-unit.
 * - (X5) What is left of an order returns once it has expired and its settlement time is over.
 */
import { createHash, randomUUID } from "node:crypto";
import { XenoError } from "../../cowfs/errors.ts";
import type { SigningKey } from "../../xenostore/keys/key-ring.ts";
import { type Credential, issueCredential, type Role, verifyCredential } from "../credentials/credential.ts";
import { KnownCredentials } from "../credentials/known-credentials.ts";
import type { PublicJwk } from "../credentials/public-key.ts";
import { CommitQueue } from "../database/commit-queue.ts";
import { openDatabase } from "../database/open-database.ts";
import { type Balance, Ledger, type Transfer, unlimited } from "../ledger/ledger.ts";
import { type MicroUnits, requireAmount } from "../ledger/money.ts";
import type { LedgerTables } from "../ledger/schema.ts";
import { issueOrder, type OrderTexts } from "../orders/order.ts";
import type { Restrictions } from "../orders/restrictions.ts";
import { Payments } from "./payments.ts";
import { type PolicyName, policies } from "./policies/policies.ts";
import type { ValidationPolicy } from "./policies/policy.ts";
import { findOrder, ledgerOf, requireOrder, unknownOrder } from "./rows.ts";
import { type CorporationTables, createCorporationTables, type OrderTable } from "./schema.ts";

export interface CorporationOptions {
  /** As orders and credentials name it: its address, or what it is known by. */
  readonly name: string;
  readonly key: SigningKey;
  readonly databaseFile: string;
  /** Three capital letters (ISO 4217). */
  readonly currency: string;
  /** Whether credentials say who the holder is, or only that it is known. */
  readonly showsNames: boolean;
  /** After an order's expiry XenoServers may still settle for so long. */
  readonly settlementMs: number;
  readonly now?: () => number;
}

export interface Registration {
  readonly role: Role;
  readonly keyId: string;
  readonly name: string;
  readonly details?: unknown;
}

export interface AskedOrder {
  /** Chosen by the client: asking again is the same order. */
  readonly id: string;
  readonly amount: MicroUnits;
  readonly validMs: number;
  readonly policy?: PolicyName;
  readonly restrictions?: Restrictions;
}

export type OrderView = Omit<OrderTable, "texts" | "asked">;

const credentialMs = 90 * 24 * 3600 * 1000;
const maxOrderMs = 366 * 24 * 3600 * 1000;
const outside = "outside";
const sweepAtOnce = 200;

export class Corporation {
  readonly options: CorporationOptions;
  readonly ledger: Ledger;
  readonly payments: Payments;
  readonly #commits: CommitQueue<CorporationTables>;
  readonly #close: () => Promise<void>;
  readonly #now: () => number;
  readonly #known: KnownCredentials;

  static async open(options: CorporationOptions): Promise<Corporation> {
    const database = openDatabase<CorporationTables>(options.databaseFile);
    try {
      const commits = new CommitQueue(database);
      await commits.run(createCorporationTables);
      const ledger = await Ledger.open(commits as unknown as CommitQueue<LedgerTables>, options.now);
      await ledger.openAccount(outside, unlimited);
      return new Corporation(options, commits, ledger, () => database.destroy());
    } catch (error) {
      await database.destroy();
      throw error;
    }
  }

  private constructor(
    options: CorporationOptions,
    commits: CommitQueue<CorporationTables>,
    ledger: Ledger,
    close: () => Promise<void>,
  ) {
    this.options = options;
    this.ledger = ledger;
    this.#commits = commits;
    this.#close = close;
    this.#now = options.now ?? Date.now;
    const issuer = { corporation: options.name, key: options.key.verifyKey };
    this.#known = new KnownCredentials((text) => verifyCredential(text, issuer, this.#now()));
    this.payments = new Payments({ name: options.name, key: options.key, ledger, commits, now: this.#now });
  }

  /** A holder and its credential; registered again with the same key, it is the same holder. Throws `role-conflict`. */
  async register({ role, keyId, name, details }: Registration): Promise<{ holder: string; credential: string }> {
    const holder = await this.#commits.run(async (database) => {
      const known = await database.selectFrom("holders").selectAll().where("key_id", "=", keyId).executeTakeFirst();
      if (known !== undefined) {
        if (known.role === role) return known.id;
        throw new XenoError("role-conflict", `this key is a ${known.role}'s already`, { hint: "use a key of its own" });
      }
      const id = `${role}-${randomUUID()}`;
      await this.ledger.openAccount(id, 0, ledgerOf(database));
      const row = { id, role, key_id: keyId, name, details: JSON.stringify(details ?? null), registered: this.#now() };
      await database.insertInto("holders").values(row).execute();
      return id;
    });
    const { name: corporation, showsNames, key } = this.options;
    const shown = showsNames ? name : undefined;
    const credential = await issueCredential(
      { corporation, holder, role, keyId, name: shown, now: this.#now(), validMs: credentialMs },
      key,
    );
    return { holder, credential };
  }

  /** Whom a credential of ours is of. Throws as `verifyCredential` does. */
  authenticate(credential: string): Promise<Credential> {
    return this.#known.verify(credential, this.#now());
  }

  /** Money from the world outside: a payment that was received. The id makes it once. */
  async payIn(holder: string, amount: MicroUnits, id: string, note?: unknown): Promise<Balance> {
    await this.ledger.transfer({ id: `payment/${id}`, debit: outside, credit: holder, amount, note });
    return await this.ledger.balance(holder);
  }

  /** The order's first text, for the client to spend. Throws `funds-short`, `order-conflict`, `amount-invalid`. */
  async createOrder(client: string, holder: PublicJwk, asked: AskedOrder): Promise<OrderTexts> {
    const { id, policy: policyName = "exclusive", restrictions = {} } = asked;
    const amount = requireAmount(asked.amount);
    const policy: ValidationPolicy = policies[policyName];
    const validMs = requireAmount(asked.validMs);
    if (validMs > maxOrderMs)
      throw new XenoError("order-invalid", "an order is valid for at most a year", { hint: "ask for a shorter one" });
    const order = nameOrder(client, id);
    const expires = this.#now() + validMs;
    const { name, key, currency } = this.options;
    const claims = { iss: name, jti: order, sub: client, amount, currency, expires, holder, restrictions };
    const made = await issueOrder(claims, key);
    const askedText = JSON.stringify({ amount, validMs, policy: policy.name, restrictions, holder });
    return await this.#commits.run(async (database) => {
      const known = await findOrder(database, order);
      if (known !== undefined) {
        if (known.asked === askedText) return JSON.parse(known.texts) as string[];
        throw new XenoError("order-conflict", `${id} is the id of another order`, { hint: "use a new id" });
      }
      if (policy.setsAside) {
        const note = { client, policy: policy.name };
        await this.ledger.hold({ id: order, debit: client, amount, note }, ledgerOf(database));
      }
      const row = {
        id: order,
        client,
        amount,
        policy: policy.name,
        expires,
        asked: askedText,
        texts: JSON.stringify(made),
      };
      await database.insertInto("orders").values(row).execute();
      return [...made];
    });
  }

  /** What an order paid, and what for (X4): to its client, or who may see all. Throws `order-unknown`. */
  async audit(order: string, client?: string, after = 0): Promise<{ order: OrderView; transfers: Transfer[] }> {
    const {
      texts: _texts,
      asked: _asked,
      ...row
    } = await this.#commits.run(async (database) => {
      const found = await requireOrder(database, order);
      if (client !== undefined && found.client !== client) throw unknownOrder(order);
      return found;
    });
    const all = await this.ledger.list(
      policies[row.policy as PolicyName].setsAside ? { hold: order, after } : { account: row.client, after },
    );
    const isOfOrder = ({ hold, note }: Transfer) =>
      hold === order || (note as { order?: string } | null)?.order === order;
    return { order: row, transfers: all.filter(isOfOrder) };
  }

  /** The orders of a client, newest expiry first; at most 1,000. */
  async listOrders(client: string): Promise<OrderView[]> {
    return await this.#commits.run((database) =>
      database
        .selectFrom("orders")
        .select(["id", "client", "amount", "policy", "expires"])
        .where("client", "=", client)
        .orderBy("expires", "desc")
        .limit(1000)
        .execute(),
    );
  }

  /** (X5): call it now and then. Returns how many were released. */
  async releaseExpired(): Promise<number> {
    const until = this.#now() - this.options.settlementMs;
    return await this.#commits.run(async (database) => {
      const orders = await database
        .selectFrom("orders")
        .innerJoin("holds", "holds.id", "orders.id")
        .select("orders.id")
        .where("orders.expires", "<=", until)
        .where("holds.open", "=", 1)
        .orderBy("orders.expires")
        .limit(sweepAtOnce)
        .execute();
      for (const { id } of orders) await this.ledger.release(id, { expired: true }, ledgerOf(database));
      return orders.length;
    });
  }

  async end(): Promise<void> {
    await this.#commits.idle();
    await this.#close();
  }
}

/** The client's ids do not meet those of others. */
function nameOrder(client: string, id: string): string {
  if (!/^[A-Za-z0-9._-]{1,60}$/.test(id))
    throw new XenoError("order-invalid", `${JSON.stringify(id.slice(0, 80))} cannot be the id of an order`, {
      hint: "use up to 60 letters, digits and . _ -",
    });
  return `${createHash("sha256").update(client).digest("hex").slice(0, 16)}.${id}`;
}
