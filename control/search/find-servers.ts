/**
 * Matchmaking: from the narrowest lookup to candidates, to those that fit, to the best of them that go together.
 *
 * The narrowest of the query's conditions that the inverted file can answer gives the candidates, at most 20,000; each is then held
 * to the whole query. Those that fit are scored and taken from the best on, each if it goes together with those taken
 * before: not always the best set, but one that can be explained line by line.
 */
import type { InvertedFile } from "../information/inverted-file.ts";
import type { Entry, ValueRange } from "../information/ordered-index.ts";
import { type Coordinates, predictRoundTrip } from "./coordinates.ts";
import { numberOf, type Offer, priceOf, readOffer, textsOf } from "./offer.ts";
import type { Condition, Place, Query } from "./query.ts";

export interface Match {
  readonly server: string;
  readonly address: string;
  /** Micro-units for the whole job, where hours and resources were named. */
  readonly price?: number;
  readonly load: number;
  /** The longest predicted round trip to the places that it is to be near, in ms. */
  readonly latencyMs?: number;
  readonly coordinates?: Coordinates;
  /** Ms; how old what it says is. */
  readonly ageMs: number;
  /** 0 to 1: 1 is the best that there is in everything that counts. */
  readonly score: number;
  /** Why it was chosen. */
  readonly because: readonly string[];
}

export interface FindResult {
  readonly matches: readonly Match[];
  /** How many were looked at, and how many did not fit, by the first reason. */
  readonly considered: number;
  readonly refused: Readonly<Record<string, number>>;
  /** There were more candidates than are looked at: name more of what is wanted. */
  readonly isPartial: boolean;
}

const maxCandidates = 20_000;
const pageSize = 1000;
const everything: ValueRange = { from: Number.NEGATIVE_INFINITY, to: Number.POSITIVE_INFINITY };
const evenPriorities = { price: 1, latency: 1, load: 1 };

interface Fitting {
  readonly offer: Offer;
  readonly price?: number;
  readonly latencyMs?: number;
  readonly because: string[];
}

export function findServers(file: InvertedFile, query: Query, now: number): FindResult {
  const refused: Record<string, number> = {};
  const places = (query.near?.places ?? []).map((place) => locate(file, place));
  const pair = query.equalLatency?.places.map((place) => locate(file, place));
  const candidates = listCandidates(file, query);
  const fitting: Fitting[] = [];
  for (const server of candidates.servers) {
    const fit = fitOffer(readOffer(file.find(server)!), query, places, pair);
    if (typeof fit === "string") refused[fit] = (refused[fit] ?? 0) + 1;
    else fitting.push(fit);
  }
  const scored = scoreAll(fitting, query).sort(
    (a, b) => b.score - a.score || (a.offer.server < b.offer.server ? -1 : 1),
  );
  const matches = takeTogether(scored, query, refused, now);
  return { matches, considered: candidates.servers.length, refused, isPartial: candidates.isPartial };
}

/** Of the narrowest lookup that all that fit are in. */
function listCandidates(file: InvertedFile, query: Query): { servers: string[]; isPartial: boolean } {
  const lookups = listLookups(query).map((lookup) => ({ ...lookup, ...file.lookup({ ...lookup, limit: 0 }) }));
  const narrowest = lookups.reduce((one, other) => (other.matches < one.matches ? other : one));
  const servers: string[] = [];
  let after: Entry | undefined;
  while (servers.length < maxCandidates) {
    const { entries } = file.lookup({ token: narrowest.token, range: narrowest.range, limit: pageSize, after });
    servers.push(...entries.map(({ server }) => server));
    after = entries.at(-1);
    if (entries.length < pageSize) break;
  }
  // One that has several values in the range is there several times.
  return { servers: [...new Set(servers)].slice(0, maxCandidates), isPartial: narrowest.matches > maxCandidates };
}

function listLookups({ environment, resources = {}, where }: Query): { token: string; range: ValueRange }[] {
  const lookups = [{ token: "CPUmsps", range: everything }];
  if (environment?.type !== undefined) lookups.push(textLookup("EnvType", environment.type));
  if (environment?.kernel !== undefined) lookups.push(textLookup("EnvKernel", environment.kernel));
  // Who tells nothing of a resource has none of it, which is enough where none is asked for.
  for (const [token, least] of Object.entries(resources))
    if (least > 0) lookups.push({ token, range: { ...everything, from: least } });
  return where === undefined ? lookups : [...lookups, ...requiredLookups(where)];
}

/** What everything that fits a condition must be found by: of `all`, any of its parts. */
function requiredLookups(condition: Condition): { token: string; range: ValueRange }[] {
  if ("all" in condition) return condition.all.flatMap(requiredLookups);
  if ("value" in condition) return [textLookup(condition.token, condition.value)];
  if (!("token" in condition)) return [];
  return [
    { token: condition.token, range: { from: condition.from ?? everything.from, to: condition.to ?? everything.to } },
  ];
}

function textLookup(token: string, value: string): { token: string; range: ValueRange } {
  return { token, range: { from: value, to: value } };
}

/** What is known of an offer that fits; else the reason, in a few words that are the same for all. */
function fitOffer(
  offer: Offer,
  query: Query,
  places: readonly (Coordinates | undefined)[],
  pair: readonly (Coordinates | undefined)[] | undefined,
): Fitting | string {
  const { environment, resources = {}, where, hours, maxPrice } = query;
  const because: string[] = [];
  for (const [token, wanted] of [
    ["EnvType", environment?.type],
    ["EnvKernel", environment?.kernel],
  ] as const) {
    if (wanted === undefined) continue;
    if (!textsOf(offer.tokens, token).includes(wanted)) return `has no ${token} ${wanted}`;
    because.push(`runs ${wanted}`);
  }
  for (const [name, least] of Object.entries(resources)) {
    const has = numberOf(offer.tokens, name) ?? 0;
    if (has < least) return `has too little ${name}`;
    because.push(`${name} ${has} of ${least} asked for`);
  }
  if (where !== undefined && !holds(offer, where)) return "does not meet the condition";
  const price = hours === undefined ? undefined : priceOf(offer, resources, hours);
  if (maxPrice !== undefined && price === undefined) return "tells no price";
  if (maxPrice !== undefined && price! > maxPrice) return "costs too much";
  const latencyMs = longestRoundTrip(offer, places);
  if (query.near !== undefined && latencyMs === undefined) return "has no place in the network";
  if (latencyMs !== undefined && latencyMs > (query.near?.withinMs ?? Number.POSITIVE_INFINITY)) return "is too far";
  if (pair !== undefined) {
    const [one, other] = pair.map((place) => longestRoundTrip(offer, [place]));
    if (one === undefined || other === undefined) return "has no place in the network";
    if (Math.abs(one - other) > query.equalLatency!.withinMs) return "is nearer to one of the two";
    because.push(`${Math.round(one)} ms and ${Math.round(other)} ms from the two`);
  }
  return { offer, price, latencyMs, because };
}

function holds(offer: Offer, condition: Condition): boolean {
  if ("all" in condition) return condition.all.every((each) => holds(offer, each));
  if ("any" in condition) return condition.any.some((each) => holds(offer, each));
  if ("not" in condition) return !holds(offer, condition.not);
  if ("value" in condition) return textsOf(offer.tokens, condition.token).includes(condition.value);
  const { from = Number.NEGATIVE_INFINITY, to = Number.POSITIVE_INFINITY, token } = condition;
  const value = numberOf(offer.tokens, token);
  return value !== undefined && value >= from && value <= to;
}

/** Each of what counts as 0 to 1, from the worst to the best of those that fit; weighed by priority. */
function scoreAll(
  fitting: readonly Fitting[],
  { priorities = evenPriorities }: Query,
): (Fitting & { score: number })[] {
  const scales = [
    { weight: priorities.price ?? 0, of: ({ price }: Fitting) => price },
    { weight: priorities.latency ?? 0, of: ({ latencyMs }: Fitting) => latencyMs },
    { weight: priorities.load ?? 0, of: ({ offer }: Fitting) => offer.load },
  ].flatMap(({ weight, of }) => {
    const values = fitting.map(of).filter((value) => value !== undefined);
    if (weight === 0 || values.length === 0) return [];
    const best = values.reduce((one, other) => Math.min(one, other));
    const worst = values.reduce((one, other) => Math.max(one, other));
    return [{ weight, of, best, spread: worst - best }];
  });
  const total = scales.reduce((sum, { weight }) => sum + weight, 0);
  return fitting.map((each) => {
    let score = 0;
    for (const { weight, of, best, spread } of scales) {
      const value = of(each);
      // What is not told counts as the worst.
      if (value !== undefined) score += weight * (spread === 0 ? 1 : 1 - (value - best) / spread);
    }
    return { ...each, score: total === 0 ? 1 : score / total };
  });
}

/** From the best on, each that goes together with those before it. */
function takeTogether(
  scored: readonly (Fitting & { score: number })[],
  { count, farApartMs, separateLinks }: Query,
  refused: Record<string, number>,
  now: number,
): Match[] {
  const taken: (Fitting & { score: number })[] = [];
  const refuse = (why: string) => {
    refused[why] = (refused[why] ?? 0) + 1;
  };
  for (const each of scored) {
    if (taken.length >= count) break;
    const { coordinates, tokens } = each.offer;
    if (farApartMs !== undefined) {
      if (coordinates === undefined) {
        refuse("has no place in the network");
        continue;
      }
      if (taken.some(({ offer }) => predictRoundTrip(offer.coordinates!, coordinates) < farApartMs)) {
        refuse("is too near to a better one");
        continue;
      }
    }
    const links = textsOf(tokens, "NetworkLink");
    if (
      separateLinks &&
      (links.length === 0 ||
        taken.some(({ offer }) => links.some((link) => textsOf(offer.tokens, "NetworkLink").includes(link))))
    ) {
      refuse("may share a network link");
      continue;
    }
    taken.push(each);
  }
  return taken.map((each) => showMatch(each, now));
}

function showMatch({ offer, price, latencyMs, score, because }: Fitting & { score: number }, now: number): Match {
  const { server, address, load, coordinates, at } = offer;
  const reasons = [...because];
  if (price !== undefined) reasons.push(`costs ${price} micro-units for the job`);
  if (latencyMs !== undefined) reasons.push(`at most ${Math.round(latencyMs)} ms away`);
  reasons.push(`load ${load.toFixed(2)}`);
  return {
    server,
    address,
    price,
    load,
    latencyMs,
    coordinates,
    ageMs: Math.max(0, now - at),
    score,
    because: reasons,
  };
}

function locate(file: InvertedFile, place: Place): Coordinates | undefined {
  if (!("server" in place)) return { x: place.x, y: place.y, height: place.height ?? 0, error: 0 };
  const advertisement = file.find(place.server);
  return advertisement === undefined ? undefined : readOffer(advertisement).coordinates;
}

function longestRoundTrip({ coordinates }: Offer, places: readonly (Coordinates | undefined)[]): number | undefined {
  if (coordinates === undefined || places.length === 0 || places.some((place) => place === undefined)) return undefined;
  return places.map((place) => predictRoundTrip(coordinates, place!)).reduce((one, other) => Math.max(one, other));
}
