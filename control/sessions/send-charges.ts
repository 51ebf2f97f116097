/**
 * Sends a session's charges to their XenoCorps.
 *
 * - (D1) A charge is kept, with its id and all that it says, before it is sent, until it is answered: sent again, it is the
 *   same one, and the XenoCorp makes it once (X1, L1).
 * - (D2) What a XenoCorp refuses for good is the XenoServer's loss, and the order pays nothing more. What cannot be sent now is
 *   sent later.
 */
import { XenoError } from "../../cowfs/errors.ts";
import type { AcceptedCorporations, Corporation } from "./accepted-corporations.ts";
import type { PendingCharge, Session, SessionOrder } from "./session.ts";

/** The request did not come through, or may come through the next time. */
const transient = new Set([
  ...["corporation-unreachable", "corporation-failed", "proof-stale", "proof-replayed", "requests-busy"],
  ...["database-busy", "defect", "interrupted", "credential-expired"],
]);

export interface ChargeSending {
  readonly corporations: AcceptedCorporations;
  save(session: Session): Promise<void>;
  log(text: string): void;
}

/** Rejects with what is transient. */
export async function sendCharges(session: Session, { corporations, save, log }: ChargeSending): Promise<void> {
  for (const charge of [...session.pending]) {
    const order = session.orders.find(({ id }) => id === charge.order)!;
    const { left, problem } = await sendCharge(session, charge, order, await corporations.find(order.corporation));
    session.pending.splice(session.pending.indexOf(charge), 1);
    if (problem === undefined) {
      session.paid += charge.amount;
      const underWay = session.pending.reduce((sum, each) => sum + (each.order === order.id ? each.amount : 0), 0);
      order.left = Math.max(0, Math.min(order.left, left - underWay));
    } else {
      log(`the charge ${charge.id} of ${charge.amount} micro-units was refused: ${problem}`);
      session.refused += charge.amount;
      order.left = 0;
      order.problem = problem;
    }
    await save(session);
  }
}

/** Tells XenoCorps of orders that are not needed any more: what is left of them returns to the client. */
export async function closeOrders(session: Session, { corporations, save }: ChargeSending): Promise<void> {
  for (const order of session.orders) {
    if (order.isClosed) continue;
    if (order.isValidated) {
      const { client } = await corporations.find(order.corporation);
      await client.close(order.id).catch((error) => {
        if (isTransient(error)) throw error;
      });
    }
    order.isClosed = true;
    await save(session);
  }
}

async function sendCharge(
  session: Session,
  { id, amount, used }: PendingCharge,
  order: SessionOrder,
  { client }: Corporation,
): Promise<{ left: number; problem?: string }> {
  const presented = order.isValidated ? undefined : order.texts;
  const charge = { id, order: order.id, amount, used, session: session.id, presented };
  try {
    return await client.charge(charge);
  } catch (error) {
    if (isTransient(error)) throw error;
    return { left: 0, problem: (error as XenoError).code };
  }
}

export function isTransient(error: unknown): boolean {
  return !(error instanceof XenoError) || transient.has(error.code);
}
