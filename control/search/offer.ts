/** What a XenoServer offers, as its advertisement says it in tokens. A token that is missing says nothing; a strange one neither. */
import type { Advertisement, Tokens } from "../information/advertisement.ts";
import type { Coordinates } from "./coordinates.ts";

/** What can be asked for, by the token that says how much of it there is. */
export const resourceTokens = ["CPUmsps", "MemoryMiB", "NetMbps", "DiskMiB"] as const;
export type Resource = (typeof resourceTokens)[number];
export type Resources = Partial<Record<Resource, number>>;

export interface Offer {
  readonly server: string;
  readonly address: string;
  /** Ms since the epoch, of the advertisement. */
  readonly at: number;
  readonly tokens: Tokens;
  /** Of 0 to 1; unknown: 0.5. */
  readonly load: number;
  readonly coordinates?: Coordinates;
}

export function readOffer({ server, address, at, tokens }: Advertisement): Offer {
  const load = Math.min(1, Math.max(0, numberOf(tokens, "Load") ?? 0.5));
  return { server, address, at, tokens, load, coordinates: readCoordinates(tokens) };
}

/** The tokens by which coordinates are advertised. */
export function describeCoordinates({ x, y, height, error }: Coordinates): Tokens {
  return { CoordX: x, CoordY: y, CoordHeight: height, CoordError: error };
}

/** Micro-units for the resources over so many hours; undefined where no price is told for one of them. */
export function priceOf({ tokens }: Offer, resources: Resources, hours: number): number | undefined {
  let perHour = numberOf(tokens, "PriceSession") ?? 0;
  for (const [name, amount] of Object.entries(resources)) {
    const price = numberOf(tokens, `Price${name}`);
    if (price === undefined || price < 0) return undefined;
    perHour += price * amount;
  }
  return Math.ceil(perHour * hours);
}

export function numberOf(tokens: Tokens, name: string): number | undefined {
  const value = tokens[name];
  return typeof value === "number" ? value : undefined;
}

/** The texts that a token has. */
export function textsOf(tokens: Tokens, name: string): string[] {
  const value = tokens[name];
  return (Array.isArray(value) ? value : [value]).filter((each) => typeof each === "string");
}

function readCoordinates(tokens: Tokens): Coordinates | undefined {
  const [x, y, height, error] = ["CoordX", "CoordY", "CoordHeight", "CoordError"].map((name) => numberOf(tokens, name));
  if (x === undefined || y === undefined || height === undefined || error === undefined) return undefined;
  return height < 0 || error < 0 ? undefined : { x, y, height, error };
}
