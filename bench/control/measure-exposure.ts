/**
 * What XenoServers lose to a client that spends one offline order at all of them: against how often they settle. Time is counted, not
 * waited for; XenoCorp, orders and the metering of sessions are the real ones.
 */
import fs from "node:fs/promises";
import path from "node:path";
import { Corporation } from "../../control/corporation/corporation.ts";
import { describePublicKey } from "../../control/credentials/public-key.ts";
import { type OrderTexts, spendOrder } from "../../control/orders/order.ts";
import { advance } from "../../control/sessions/life-cycle.ts";
import type { Session } from "../../control/sessions/session.ts";
import { createKey } from "../../xenostore/keys/key-ring.ts";

export interface ExposureMeasured {
  readonly servers: number;
  readonly settlementSeconds: number;
  /** Micro-units: the order's amount, and what all of them served for. */
  readonly ordered: number;
  readonly served: number;
  /** Served and not paid. */
  readonly lost: number;
}

const hourMs = 3_600_000;
/** One unit an hour: the order pays one session for an hour. */
const pricePerHour = 1_000_000;

export async function measureExposure(
  parent: string,
  servers: number,
  settlementSeconds: number,
  signal: AbortSignal,
): Promise<ExposureMeasured> {
  const directory = await fs.mkdtemp(path.join(parent, "xeno-bench-exposure-"));
  const begin = Date.now();
  let now = begin;
  const key = await createKey(directory, "client");
  const corporation = await Corporation.open({
    ...{
      name: "http://corporation",
      key: await createKey(directory, "corporation"),
      currency: "EUR",
      showsNames: false,
    },
    ...{ databaseFile: path.join(directory, "corporation.sqlite"), settlementMs: hourMs, now: () => now },
  });
  try {
    const client = await corporation.register({ role: "client", keyId: key.id, name: "client" });
    await corporation.payIn(client.holder, pricePerHour, "all");
    const holder = describePublicKey(key.publicKey);
    const asked = { id: "one", amount: pricePerHour, validMs: 24 * hourMs, policy: "offline" } as const;
    const texts = await corporation.createOrder(client.holder, holder, asked);
    const order = (await corporation.listOrders(client.holder))[0]!.id;
    const sellers = await Promise.all(
      Array.from({ length: servers }, async (_, index) => {
        const { holder: server } = await corporation.register({ role: "server", keyId: `${index}`, name: `${index}` });
        return { server, session: sessionOf(`s${index}`, begin, order, await spendOrder(texts, { server }, key)) };
      }),
    );
    while (sellers.some(({ session }) => session.state === "active")) {
      signal.throwIfAborted();
      now += settlementSeconds * 1000;
      for (const { session } of sellers) advance(session, now, settlementSeconds * 1000, undefined);
      // At once, so that they share a sync.
      await Promise.all(sellers.map(({ server, session }) => settle(corporation, server, session)));
    }
    const sumOf = (pick: (session: Session) => number) => sellers.reduce((sum, { session }) => sum + pick(session), 0);
    const lost = sumOf(({ refused }) => refused);
    return { servers, settlementSeconds, ordered: pricePerHour, served: sumOf(({ paid }) => paid) + lost, lost };
  } finally {
    await corporation.end();
    await fs.rm(directory, { recursive: true });
  }
}

async function settle({ payments }: Corporation, server: string, session: Session): Promise<void> {
  const [order] = session.orders;
  for (const { id, amount, used } of session.pending.splice(0)) {
    const charge = { id, order: order!.id, amount, used, presented: order!.texts, session: session.id };
    await payments.charge(server, charge).then(
      () => {
        session.paid += amount;
      },
      () => {
        session.refused += amount;
        order!.left = 0;
      },
    );
  }
}

function sessionOf(id: string, begin: number, order: string, texts: OrderTexts): Session {
  const lease = { pricePerHour, starts: begin, ends: begin + 24 * hourMs, graceMs: 0, number: 1 } as Session["lease"];
  const expires = begin + 24 * hourMs;
  const paying = {
    id: order,
    corporation: "",
    texts,
    expires,
    isValidated: false,
    isClosed: false,
    left: pricePerHour,
  };
  return {
    ...{ format: 1, id, client: "", machine: "", created: begin, lease, signed: { offer: "", acceptance: "" } },
    ...{ state: "active", billedUntil: begin, carry: 0, orders: [paying], pending: [], charges: 0 },
    ...{ paid: 0, refused: 0, tasks: [], taskCount: 0, isSettled: true },
  };
}
