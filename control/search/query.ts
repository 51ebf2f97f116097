/** What a client looks for (`find_xenoservers`, control paper, section IV). */
import { type Static, Type } from "typebox";
import { resourceTokens } from "./offer.ts";

const amount = Type.Number({ minimum: 0, maximum: 1e15 });
const coordinate = Type.Number({ minimum: -10_000, maximum: 10_000 });
const closed = { additionalProperties: false };
const text = Type.String({ minLength: 1, maxLength: 200 });

/** A XenoServer by its id, or a point of the network. */
const Place = Type.Union([
  Type.Object({ server: Type.String({ pattern: "^[A-Za-z0-9_-]{43}$" }) }, closed),
  Type.Object({ x: coordinate, y: coordinate, height: Type.Optional(amount) }, closed),
]);
export type Place = Static<typeof Place>;

/** `and`, `or`, `not` of what tokens say. */
export type Condition =
  | { readonly token: string; readonly value: string }
  | { readonly token: string; readonly from?: number; readonly to?: number }
  | { readonly all: readonly Condition[] }
  | { readonly any: readonly Condition[] }
  | { readonly not: Condition };

const Condition = Type.Cyclic(
  {
    Condition: Type.Union([
      Type.Object({ token: text, value: text }, closed),
      Type.Object({ token: text, from: Type.Optional(Type.Number()), to: Type.Optional(Type.Number()) }, closed),
      Type.Object({ all: Type.Array(Type.Ref("Condition"), { maxItems: 16 }) }, closed),
      Type.Object({ any: Type.Array(Type.Ref("Condition"), { maxItems: 16 }) }, closed),
      Type.Object({ not: Type.Ref("Condition") }, closed),
    ]),
  },
  "Condition",
);

export const Query = Type.Object(
  {
    /** How many XenoServers. */
    count: Type.Integer({ minimum: 1, maximum: 100, default: 10 }),
    environment: Type.Optional(Type.Object({ type: Type.Optional(text), kernel: Type.Optional(text) }, closed)),
    resources: Type.Optional(
      Type.Object(Object.fromEntries(resourceTokens.map((name) => [name, Type.Optional(amount)])), closed),
    ),
    where: Type.Optional(Condition),
    /** Of the whole job: for so many hours at most so many micro-units. */
    hours: Type.Optional(Type.Number({ minimum: 0, maximum: 100_000 })),
    maxPrice: Type.Optional(amount),
    /** Near all of these. `withinMs`: a round trip at most, to each. */
    near: Type.Optional(
      Type.Object(
        { places: Type.Array(Place, { minItems: 1, maxItems: 32 }), withinMs: Type.Optional(amount) },
        closed,
      ),
    ),
    /** About the same round trip to both: differing by so many ms at most. */
    equalLatency: Type.Optional(Type.Object({ places: Type.Tuple([Place, Place]), withinMs: amount }, closed)),
    /** From each other at least so many ms. */
    farApartMs: Type.Optional(amount),
    /** No two that say they have the same `NetworkLink`. */
    separateLinks: Type.Optional(Type.Boolean()),
    /** What counts, in proportion. */
    priorities: Type.Optional(
      Type.Object(
        { price: Type.Optional(amount), latency: Type.Optional(amount), load: Type.Optional(amount) },
        closed,
      ),
    ),
  },
  closed,
);
export type Query = Omit<Static<typeof Query>, "where" | "resources"> & {
  readonly where?: Condition;
  readonly resources?: Partial<Record<(typeof resourceTokens)[number], number>>;
};
