/** What an order may be spent on. Each restriction only takes away: more of them never allow more. */
import { type Static, Type } from "typebox";
import { XenoError } from "../../cowfs/errors.ts";

const amount = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });

export const Restrictions = Type.Object(
  {
    /** Micro-units, at most. */
    maxAmount: Type.Optional(amount),
    /** Ms since the epoch: not to be charged from then on. */
    deadline: Type.Optional(amount),
    /** The id of the only XenoServer that may charge. */
    server: Type.Optional(Type.String({ minLength: 1, maxLength: 200 })),
    /** The only kind of session that may be paid. */
    kind: Type.Optional(Type.String({ minLength: 1, maxLength: 100 })),
    /** Resources at most, by name, as a session asks for them. */
    resources: Type.Optional(
      Type.Record(Type.String({ pattern: "^[A-Za-z][A-Za-z0-9]{0,49}$" }), amount, {
        maxProperties: 20,
        additionalProperties: false,
      }),
    ),
  },
  { additionalProperties: false },
);
export type Restrictions = Static<typeof Restrictions>;

/** Both at once. Throws `order-contradiction` where nothing is left that both allow. */
export function combineRestrictions(one: Restrictions, other: Restrictions): Restrictions {
  const resources = { ...one.resources };
  for (const [name, most] of Object.entries(other.resources ?? {}))
    resources[name] = Math.min(most, resources[name] ?? most);
  return dropAbsent({
    maxAmount: least(one.maxAmount, other.maxAmount),
    deadline: least(one.deadline, other.deadline),
    server: only("server", one.server, other.server),
    kind: only("kind of session", one.kind, other.kind),
    resources: Object.keys(resources).length === 0 ? undefined : resources,
  });
}

/** Throws `order-restricted` where a session is not what the order may be spent on. */
export function requireAllowed(
  restrictions: Restrictions,
  session: { readonly server: string; readonly kind: string; readonly resources: Readonly<Record<string, number>> },
  now: number,
): void {
  const { server, kind, deadline, resources = {} } = restrictions;
  const refuse = (why: string) => {
    throw new XenoError("order-restricted", `the order does not pay for this: ${why}`, {
      hint: "narrow it otherwise, or ask for a new one",
    });
  };
  if (server !== undefined && server !== session.server) refuse(`it is for the XenoServer ${server}`);
  if (kind !== undefined && kind !== session.kind) refuse(`it is for sessions of kind ${kind}`);
  if (deadline !== undefined && now >= deadline) refuse(`its deadline was ${new Date(deadline).toISOString()}`);
  for (const [name, most] of Object.entries(resources))
    if ((session.resources[name] ?? 0) > most) refuse(`it allows ${name} up to ${most}`);
}

function least(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined || other === undefined ? (one ?? other) : Math.min(one, other);
}

function only(what: string, one: string | undefined, other: string | undefined): string | undefined {
  if (one !== undefined && other !== undefined && one !== other)
    throw new XenoError("order-contradiction", `the order names two of a ${what}: ${one} and ${other}`, {
      hint: "ask for a new order",
    });
  return one ?? other;
}

function dropAbsent(restrictions: Restrictions): Restrictions {
  return Object.fromEntries(Object.entries(restrictions).filter(([, value]) => value !== undefined));
}
