/** What sessions cost: fixed prices of resources, and the operator's word on how they rise with congestion. */
import { type Static, Type } from "typebox";
import type { MicroUnits } from "../ledger/money.ts";
import type { SessionResources } from "./lease.ts";

const perHour = Type.Integer({ minimum: 0, maximum: 1_000_000_000, description: "Micro-units for an hour of one." });

export const Prices = Type.Object(
  {
    session: Type.Optional(Type.Integer({ minimum: 0, maximum: 1_000_000_000, description: "Micro-units an hour." })),
    CPUmsps: Type.Optional(perHour),
    MemoryMiB: Type.Optional(perHour),
    NetMbps: Type.Optional(perHour),
    DiskMiB: Type.Optional(perHour),
    congestion: Type.Optional(
      Type.Object(
        {
          above: Type.Number({ minimum: 0, maximum: 0.99, description: "Of the load, from which on prices rise." }),
          factor: Type.Number({ minimum: 1, maximum: 100, description: "How many times the price is, at full load." }),
        },
        { additionalProperties: false, description: "Default: prices are fixed." },
      ),
    ),
  },
  { additionalProperties: false },
);
export type Prices = Static<typeof Prices>;

/** Micro-units an hour, at a load of 0 to 1. */
export function priceOf(prices: Prices, resources: SessionResources, load: number): MicroUnits {
  const { session = 0, congestion } = prices;
  let price = session;
  for (const [name, count] of Object.entries(resources) as [keyof SessionResources, number][])
    price += (prices[name] ?? 0) * count;
  return Math.min(1_000_000_000_000, Math.ceil(price * riseAt(congestion, load)));
}

/** By how much prices are multiplied. */
export function riseAt(congestion: Prices["congestion"], load: number): number {
  if (congestion === undefined || load <= congestion.above) return 1;
  const { above, factor } = congestion;
  return 1 + (factor - 1) * ((Math.min(1, load) - above) / (1 - above));
}
