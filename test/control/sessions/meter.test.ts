/** What sessions owe, over any course of events: pure functions, and a model that only knows when the session was in force. */
import test from "ava";
import { advance, endSession, extendGrace, resumeIfPaid } from "../../../control/sessions/life-cycle.ts";
import { bill, countSpendable, msUntil, priceFor, whenDue } from "../../../control/sessions/meter.ts";
import { priceOf } from "../../../control/sessions/prices.ts";
import type { Session, SessionOrder } from "../../../control/sessions/session.ts";
import fc from "../../property.ts";

const hourMs = 3_600_000;
const begin = 1_000_000;
const chargeMs = 60_000;

function orderOf(id: string, left: number, expires = Number.MAX_SAFE_INTEGER): SessionOrder {
  return { id, corporation: "c", texts: [], expires, isValidated: true, isClosed: false, left };
}

function sessionOf(pricePerHour: number, ends: number, orders: SessionOrder[]): Session {
  const lease = { pricePerHour, starts: begin, ends, graceMs: 1000, number: 1 } as Session["lease"];
  return {
    ...{ format: 1, id: "s", client: "k", machine: "a", created: begin, lease, signed: { offer: "", acceptance: "" } },
    ...{ state: "active", billedUntil: begin, carry: 0, orders, pending: [], charges: 0, paid: 0, refused: 0 },
    ...{ tasks: [], taskCount: 0, isSettled: true },
  };
}

function sumOf({ pending }: Session, order?: string): number {
  return pending.reduce((sum, charge) => sum + (order === undefined || charge.order === order ? charge.amount : 0), 0);
}

const price = fc.integer({ min: 0, max: 1_000_000_000_000 });

test("a time that is charged in pieces costs what it costs at once, to the micro-unit (M1)", (t) => {
  const property = fc.property(
    price,
    fc.array(fc.integer({ min: 0, max: 10_000_000 }), { maxLength: 20 }),
    (p, pieces) => {
      let carry = 0;
      let sum = 0;
      for (const ms of pieces) {
        const piece = priceFor(p, ms, carry);
        sum += piece.amount;
        carry = piece.carry;
      }
      const all = pieces.reduce((total, ms) => total + ms, 0);
      t.is(sum, priceFor(p, all, 0).amount);
    },
  );
  fc.assert(property, { seed: 1, numRuns: 200 });
});

test("a session runs dry at the first millisecond at which its money is spent", (t) => {
  const property = fc.property(
    fc.integer({ min: 1, max: 1_000_000_000 }),
    fc.integer({ min: 0, max: 1_000_000_000 }),
    fc.integer({ min: 0, max: hourMs - 1 }),
    (p, amount, carry) => {
      const ms = msUntil(amount, p, carry);
      t.true(priceFor(p, ms, carry).amount >= amount);
      t.true(ms === 0 || priceFor(p, ms - 1, carry).amount < amount);
    },
  );
  fc.assert(property, { seed: 2, numRuns: 500 });
});

type Event =
  | { readonly kind: "pass"; readonly ms: number }
  | { readonly kind: "top up"; readonly amount: number; readonly validMs: number }
  | { readonly kind: "renew"; readonly ms: number; readonly pricePerHour: number };
const event: fc.Arbitrary<Event> = fc.oneof(
  fc.record({ kind: fc.constant("pass" as const), ms: fc.integer({ min: 1, max: 200_000 }) }),
  fc.record({
    kind: fc.constant("top up" as const),
    amount: fc.integer({ min: 1, max: 5_000 }),
    validMs: fc.integer({ min: 1, max: 500_000 }),
  }),
  fc.record({
    kind: fc.constant("renew" as const),
    ms: fc.integer({ min: 1, max: 300_000 }),
    pricePerHour: fc.integer({ min: 0, max: 1_000_000 }),
  }),
);

test("whatever happens, nothing is charged beyond the orders, their deadlines, the term, or for suspended time (M2, M3)", (t) => {
  const property = fc.property(
    fc.array(event, { maxLength: 30 }),
    fc.integer({ min: 0, max: 1_000_000 }),
    (events, p) => {
      const given = new Map([["o0", 1_000]]);
      const session = sessionOf(p, begin + 300_000, [orderOf("o0", 1_000)]);
      let now = begin;
      /** By price: for how many ms the session was in force. */
      let bound = 0;
      for (const [index, happens] of events.entries()) {
        if (happens.kind === "pass") {
          const inForce = session.state === "active" ? Math.min(happens.ms, Math.max(0, session.lease.ends - now)) : 0;
          bound += (inForce * session.lease.pricePerHour) / hourMs;
          now += happens.ms;
          advance(session, now, chargeMs, undefined);
        } else if (session.state === "active" || session.state === "suspended") {
          if (happens.kind === "top up") {
            const order = orderOf(`o${index + 1}`, happens.amount, now + happens.validMs);
            given.set(order.id, happens.amount);
            session.orders.push(order);
          } else {
            bill(session, now, undefined);
            session.lease = { ...session.lease, pricePerHour: happens.pricePerHour, ends: now + happens.ms };
          }
          resumeIfPaid(session, now);
        }
        t.true(sumOf(session) <= bound + 1, `${sumOf(session)} of ${bound}`);
        for (const { id, left } of session.orders) t.is(sumOf(session, id) + left, given.get(id)!);
        for (const { order, used } of session.pending) {
          const { until } = used as { until: number };
          t.true(until <= session.orders.find(({ id }) => id === order)!.expires);
        }
        if (session.state === "active")
          t.true(whenDue(session, chargeMs) > session.billedUntil || now === session.billedUntil);
      }
    },
  );
  fc.assert(property, { seed: 3, numRuns: 300 });
});

test("a session that is looked at late is suspended, and what nobody could pay is the XenoServer's loss (M3)", (t) => {
  const session = sessionOf(3_600, begin + hourMs, [orderOf("o", 30)]);
  t.true(advance(session, begin + 500_000, chargeMs, undefined));
  t.like(session, { state: "suspended", reason: "dry", graceUntil: begin + 501_000 });
  t.is(sumOf(session), 30);
  session.orders.push(orderOf("o2", 100));
  resumeIfPaid(session, begin + 500_500);
  t.like(session, { state: "active", billedUntil: begin + 500_500 });
  t.is(countSpendable(session, begin), 100);
});

test("what is suspended is kept for its grace, anew from when the XenoServer starts again (G1), and then ends", (t) => {
  const session = sessionOf(0, begin + 10, []);
  advance(session, begin + 20, chargeMs, undefined);
  t.like(session, { state: "suspended", reason: "term", graceUntil: begin + 1_020 });
  t.false(advance(session, begin + 1_019, chargeMs, undefined));
  extendGrace(session, begin + 5_000);
  t.false(advance(session, begin + 5_999, chargeMs, undefined));
  t.true(advance(session, begin + 6_000, chargeMs, undefined));
  t.like(session, { state: "ending", reason: "grace", isSettled: false });
});

test("a session that its client ended is charged until then, and is not resumed", (t) => {
  const session = sessionOf(3_600, begin + hourMs, [orderOf("o", 30)]);
  bill(session, begin + 5_000, undefined);
  endSession(session, "client");
  resumeIfPaid(session, begin + 6_000);
  t.like(session, { state: "ending", reason: "client" });
  t.is(sumOf(session), 5);
});

const resources = { CPUmsps: 100, MemoryMiB: 512, NetMbps: 0, DiskMiB: 0 };
for (const [load, expected] of [
  [0, 612],
  [0.5, 612],
  [0.75, 2 * 612],
  [1, 3 * 612],
] as const)
  test(`a price that rises threefold above half the load is ${expected} at ${load}`, (t) => {
    t.is(priceOf({ CPUmsps: 1, MemoryMiB: 1, congestion: { above: 0.5, factor: 3 } }, resources, load), expected);
    t.is(priceOf({ CPUmsps: 1, MemoryMiB: 1 }, resources, load), 612, "fixed");
  });
