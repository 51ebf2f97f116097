/** An order that a client brings to pay a session with: looked at here, and validated with its XenoCorp. */
import { XenoError } from "../../cowfs/errors.ts";
import type { OrderTexts, SpendableOrder } from "../orders/order.ts";
import { requireAllowed } from "../orders/restrictions.ts";
import type { AcceptedCorporations } from "./accepted-corporations.ts";
import type { Lease } from "./lease.ts";
import type { Session, SessionOrder } from "./session.ts";

export interface OrderTaking {
  readonly corporations: AcceptedCorporations;
  readonly sessions: readonly Session[];
  readonly now: number;
}

/**
 * Throws `currency-wrong`, `order-foreign` where another key than the client's spends it, `order-used` where it pays another
 * session here, `order-restricted`, and as the XenoCorp's validation does.
 */
export async function takeOrder(texts: OrderTexts, lease: Lease, taking: OrderTaking): Promise<SessionOrder> {
  const { corporations, sessions, now } = taking;
  const { order, corporation } = await corporations.verifyOrder(texts);
  checkOrder(order, lease, corporation.holder, now);
  const { id } = order;
  const other = sessions.find(
    (session) => session.id !== lease.session && session.orders.some((each) => each.id === id),
  );
  if (other !== undefined)
    throw new XenoError("order-used", `the order ${id} pays another session here`, { hint: "bring another order" });
  const validated = corporation.isOffline ? undefined : await corporation.client.validate(texts, lease.session);
  return {
    id,
    corporation: corporation.address,
    texts,
    expires: order.expires,
    isValidated: validated !== undefined,
    isClosed: false,
    left: Math.min(order.amount, validated?.allowed ?? order.amount),
  };
}

function checkOrder(order: SpendableOrder, lease: Lease, server: string, now: number): void {
  if (order.currency !== lease.currency)
    throw new XenoError("currency-wrong", `the order is of ${order.currency}, and the price of ${lease.currency}`, {
      hint: "bring an order of a XenoCorp with that currency",
    });
  if (order.spenderKeyId !== lease.client)
    throw new XenoError("order-foreign", `the order ${order.id} was spent by another key`, {
      hint: "spend it with the key of your credential",
    });
  const { restrictions } = order;
  requireAllowed(restrictions, { server, kind: lease.requirements.Basic.EnvType, resources: lease.resources }, now);
}
