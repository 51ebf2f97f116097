/**
 * Purchase orders: texts that only get narrower on their way from XenoCorp to client to XenoServer and back.
 *
 * An order is a list of texts. The first the XenoCorp signs: up to so much, for the holder of this key. Then, offline, holders
 * may hand parts of it on: each names the next holder's key, and restricts. The last holder spends it: names the one
 * XenoServer, and nobody's key.
 *
 * - (O1) Each text is signed by the holder that the one before it names, and holds the hash of the one before it. So texts can
 *   neither be left out, nor put in, nor taken from another order.
 * - (O2) Only a list that ends in a spending counts. Nobody but its last holder can make one, so that who is shown an order
 *   can strip nothing from it.
 * - (O3) What may be done is what all texts allow.
 */
import { createHash } from "node:crypto";
import type { CryptoKey } from "jose";
import { type Static, type TSchema, Type } from "typebox";
import { XenoError } from "../../cowfs/errors.ts";
import type { SigningKey } from "../../xenostore/keys/key-ring.ts";
import { identifyKey, importPublicKey, PublicJwk } from "../credentials/public-key.ts";
import { signText, type TextKind, verifyText } from "../credentials/signed-text.ts";
import { combineRestrictions, Restrictions } from "./restrictions.ts";

const maxParts = 8;
const positive = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER });

const Issued = Type.Object({
  iss: Type.String({ maxLength: 200 }),
  /** Of the order. */
  jti: Type.String({ pattern: "^[A-Za-z0-9._-]{1,100}$" }),
  /** The client that it was issued to. */
  sub: Type.String({ maxLength: 200 }),
  /** Micro-units. */
  amount: positive,
  currency: Type.String({ pattern: "^[A-Z]{3}$" }),
  /** Ms since the epoch. */
  expires: positive,
  holder: PublicJwk,
  restrictions: Restrictions,
});
export type IssuedOrder = Static<typeof Issued>;

const Part = Type.Object({ previous: Type.String(), holder: PublicJwk, restrictions: Restrictions });
const Spending = Type.Object({ previous: Type.String(), restrictions: Restrictions });

/** Texts, in order. */
export type OrderTexts = readonly string[];
export const OrderTexts = Type.Array(Type.String({ maxLength: 16 * 1024 }), { minItems: 2, maxItems: maxParts + 2 });

/** What a verified order allows. */
export interface SpendableOrder extends Pick<IssuedOrder, "amount" | "currency" | "expires"> {
  readonly id: string;
  readonly corporation: string;
  readonly client: string;
  readonly restrictions: Restrictions & { readonly server: string };
  /** Of the last holder's key: who may act in the session that it pays. */
  readonly spenderKeyId: string;
}

/** By the XenoCorp. */
export async function issueOrder(order: IssuedOrder, key: SigningKey): Promise<OrderTexts> {
  return [await signText({ typ: "xeno-order+jwt", kid: key.id }, order, key.privateKey)];
}

/** By a holder, offline: hands it, or a part of what it allows, to another key. */
export async function passOnOrder(
  texts: OrderTexts,
  next: PublicJwk,
  restrictions: Restrictions,
  key: SigningKey,
): Promise<OrderTexts> {
  const claims = { previous: hashOf(texts), holder: next, restrictions };
  return [...texts, await signText({ typ: "xeno-order-part+jwt" }, claims, key.privateKey)];
}

/** By the last holder, offline: for one XenoServer. */
export async function spendOrder(
  texts: OrderTexts,
  restrictions: Restrictions & { readonly server: string },
  key: SigningKey,
): Promise<OrderTexts> {
  const claims = { previous: hashOf(texts), restrictions };
  return [...texts, await signText({ typ: "xeno-order-spent+jwt" }, claims, key.privateKey)];
}

/** What an order allows that `corporationKey` issued. Throws `signature-invalid`, `order-broken`, `order-contradiction`, `order-expired`. */
export async function verifyOrder(
  texts: OrderTexts,
  corporation: { readonly name: string; readonly key: CryptoKey },
  now: number,
): Promise<SpendableOrder> {
  if (texts.length < 2 || texts.length > maxParts + 2)
    throw broken(`it has ${texts.length} texts, and should have 2 to ${maxParts + 2}`);
  const issued = await verifyText(texts[0]!, "xeno-order+jwt", Issued, corporation.key);
  if (issued.iss !== corporation.name) throw broken(`${issued.iss} issued it, not ${corporation.name}`);
  let { holder, restrictions } = issued;
  for (let index = 1; index < texts.length - 1; index++) {
    const part = await verifyNext(texts, index, "xeno-order-part+jwt", Part, holder);
    restrictions = combineRestrictions(restrictions, part.restrictions);
    holder = part.holder;
  }
  const spent = await verifyNext(texts, texts.length - 1, "xeno-order-spent+jwt", Spending, holder);
  restrictions = combineRestrictions(restrictions, spent.restrictions);
  const { server } = restrictions;
  if (server === undefined) throw broken("it names no XenoServer");
  const { jti: id, iss, sub: client, amount, currency, expires } = issued;
  if (now >= expires || now >= (restrictions.deadline ?? Number.POSITIVE_INFINITY))
    throw new XenoError("order-expired", `the order ${id} has expired`, { hint: "ask for a new one" });
  const spenderKeyId = await identifyKey(holder);
  return {
    id,
    corporation: iss,
    client,
    amount: Math.min(amount, restrictions.maxAmount ?? amount),
    currency,
    expires: Math.min(expires, restrictions.deadline ?? expires),
    restrictions: { ...restrictions, server },
    spenderKeyId,
  };
}

/** (O1) */
async function verifyNext<Schema extends TSchema>(
  texts: OrderTexts,
  index: number,
  kind: TextKind,
  schema: Schema,
  holder: PublicJwk,
): Promise<Static<Schema>> {
  const claims = await verifyText(texts[index]!, kind, schema, await importPublicKey(holder));
  if ((claims as { previous: string }).previous !== hashOf(texts.slice(0, index)))
    throw broken(`its text ${index + 1} does not follow the one before`);
  return claims;
}

function hashOf(texts: OrderTexts): string {
  return createHash("sha256").update(texts.join("\n")).digest("base64url");
}

function broken(why: string): XenoError {
  return new XenoError("order-broken", `this is no order that can be spent: ${why}`, { hint: "ask for a new one" });
}
