/**
 * What a session owes and when it has run dry: pure functions of its record and the time.
 *
 * - (M1) What is charged is the lease's price times the time in force, to the micro-unit: what is left over of one is carried.
 * - (M2) Nothing is charged for time outside the term, nor for time in which the session is suspended.
 * - (M3) Never more is charged than the orders have: who notices late that they are dry, the XenoServer, bears it.
 */
import type { Session, SessionOrder } from "./session.ts";

const hourMs = 3_600_000n;

/** Micro-units for so many ms, and what is left over of one. */
export function priceFor(pricePerHour: number, ms: number, carry: number): { amount: number; carry: number } {
  const all = BigInt(pricePerHour) * BigInt(ms) + BigInt(carry);
  return { amount: Number(all / hourMs), carry: Number(all % hourMs) };
}

/** After how many ms a price has come to `amount`. */
export function msUntil(amount: number, pricePerHour: number, carry: number): number {
  if (pricePerHour === 0) return Number.POSITIVE_INFINITY;
  const missing = BigInt(amount) * hourMs - BigInt(carry);
  if (missing <= 0n) return 0;
  return Number((missing + BigInt(pricePerHour) - 1n) / BigInt(pricePerHour));
}

export function isUsable(order: SessionOrder, at: number): boolean {
  return order.left > 0 && order.expires > at;
}

/** Micro-units that can still be charged. */
export function countSpendable({ orders }: Pick<Session, "orders">, at: number): number {
  return orders.reduce((sum, order) => sum + (isUsable(order, at) ? order.left : 0), 0);
}

/** When a session in force is to be looked at again at the latest: to charge it, or because it runs dry or ends. */
export function whenDue({ lease, billedUntil, carry, orders }: Session, chargeMs: number): number {
  const spendable = countSpendable({ orders }, billedUntil);
  const dryAt = billedUntil + msUntil(spendable, lease.pricePerHour, carry);
  const expiries = orders.filter((order) => isUsable(order, billedUntil)).map(({ expires }) => expires);
  return Math.min(billedUntil + chargeMs, lease.ends, dryAt, ...expiries);
}

/** Makes charges for what was in force until `now`; they are sent when the record is kept. */
export function bill(session: Session, now: number, used: unknown): void {
  if (session.state !== "active") return;
  const target = Math.max(session.billedUntil, Math.min(now, session.lease.ends));
  while (session.billedUntil < target) {
    const expiries = session.orders
      .filter((order) => isUsable(order, session.billedUntil))
      .map((order) => order.expires);
    // Without any order the rest of the time is the XenoServer's loss (M3).
    billUntil(session, Math.min(target, ...expiries), used);
  }
}

/** No usable order expires within: none is charged for time after its deadline. */
function billUntil(session: Session, until: number, used: unknown): void {
  const { lease, billedUntil, orders, pending } = session;
  const { amount, carry } = priceFor(lease.pricePerHour, until - billedUntil, session.carry);
  let due = amount;
  for (const order of orders) {
    if (due === 0) break;
    if (!isUsable(order, billedUntil)) continue;
    const taken = Math.min(order.left, due);
    order.left -= taken;
    due -= taken;
    session.charges++;
    pending.push({
      id: `${session.id}.${session.charges}`,
      order: order.id,
      amount: taken,
      used: { from: billedUntil, until, pricePerHour: lease.pricePerHour, lease: lease.number, domains: used },
    });
  }
  session.carry = due === 0 ? carry : 0;
  session.billedUntil = until;
}

/** Whether nothing more can be charged of a session that costs something. */
export function isDry({ lease, orders }: Session, at: number): boolean {
  return lease.pricePerHour > 0 && countSpendable({ orders }, at) === 0;
}
