/**
 * The information service's content: an inverted file from tokens to the XenoServers that advertise them (control paper, section
 * III). All of it is in memory: a node that starts again asks its peers, and XenoServers advertise every few minutes.
 *
 * - (F1) Exactly the newest advertisement that was taken of each XenoServer is indexed, until it expires (A1, A2).
 * - (F2) Bounds: 2,000,000 XenoServers, and of each what an advertisement may hold.
 */
import { XenoError } from "../../cowfs/errors.ts";
import type { Advertisement, Tokens } from "./advertisement.ts";
import { type Entry, OrderedIndex, type TokenValue, type ValueRange } from "./ordered-index.ts";

export interface Lookup {
  readonly token: string;
  readonly range: ValueRange;
  /** At most 1,000. */
  readonly limit: number;
  /** The last entry of the page before. */
  readonly after?: Entry;
}

export interface Found {
  /** How many XenoServers match, on all pages. */
  readonly matches: number;
  readonly entries: readonly Entry[];
}

/** A change that peers have not seen: in the order in which this node took them. */
export interface Change {
  readonly sequence: number;
  readonly text: string;
}

const maxServers = 2_000_000;
const maxPage = 1000;
const discardedAtOnce = 10_000;

export class InvertedFile {
  readonly #advertisements = new Map<string, Advertisement & { readonly sequence: number }>();
  readonly #tokens = new Map<string, OrderedIndex>();
  /** XenoServers in the order in which they were taken. */
  readonly #changes = new Map<number, string>();
  #sequence = 0;

  get size(): number {
    return this.#advertisements.size;
  }

  /** False where it has a newer one, or this one. Throws `information-full`. */
  take(advertisement: Advertisement): boolean {
    const { server } = advertisement;
    const known = this.#advertisements.get(server);
    if (known !== undefined && known.at >= advertisement.at) return false;
    if (known === undefined && this.#advertisements.size >= maxServers)
      throw new XenoError("information-full", `this node knows ${maxServers} XenoServers`, {
        hint: "ask another node",
      });
    if (known !== undefined) this.#drop(known);
    const sequence = ++this.#sequence;
    this.#advertisements.set(server, { ...advertisement, sequence });
    this.#changes.set(sequence, server);
    for (const [token, value] of listValues(advertisement.tokens)) this.#indexOf(token).add({ value, server });
    return true;
  }

  find(server: string): Advertisement | undefined {
    return this.#advertisements.get(server);
  }

  lookup({ token, range, limit, after }: Lookup): Found {
    const index = this.#tokens.get(token);
    if (index === undefined) return { matches: 0, entries: [] };
    return { matches: index.count(range), entries: index.list(range, Math.min(limit, maxPage), after) };
  }

  /** What was taken after `since`, oldest first; what was overtaken meanwhile is left out. */
  listChanges(since: number, limit = maxPage): Change[] {
    const changes: Change[] = [];
    for (const [sequence, server] of this.#changesAfter(since)) {
      changes.push({ sequence, text: this.#advertisements.get(server)!.text });
      if (changes.length >= limit) break;
    }
    return changes;
  }

  /** By number where few came since; else by what is there, which may be far less than what came in the life of a node. */
  *#changesAfter(since: number): Iterable<[number, string]> {
    if (this.#sequence - since > this.#changes.size) {
      for (const change of this.#changes) if (change[0] > since) yield change;
      return;
    }
    for (let sequence = Math.max(0, since) + 1; sequence <= this.#sequence; sequence++) {
      const server = this.#changes.get(sequence);
      if (server !== undefined) yield [sequence, server];
    }
  }

  /** Discards what may not be believed any more, at most 10,000 at once; returns how many. */
  discardExpired(now: number): number {
    let discarded = 0;
    for (const advertisement of this.#advertisements.values()) {
      if (advertisement.expires > now) continue;
      this.#drop(advertisement);
      if (++discarded >= discardedAtOnce) break;
    }
    return discarded;
  }

  #drop(advertisement: Advertisement & { readonly sequence: number }): void {
    const { server, tokens, sequence } = advertisement;
    this.#advertisements.delete(server);
    this.#changes.delete(sequence);
    for (const [token, value] of listValues(tokens)) {
      const index = this.#tokens.get(token)!;
      index.remove({ value, server });
      if (index.size === 0) this.#tokens.delete(token);
    }
  }

  #indexOf(token: string): OrderedIndex {
    let index = this.#tokens.get(token);
    if (index === undefined) {
      index = new OrderedIndex();
      this.#tokens.set(token, index);
    }
    return index;
  }
}

/** Each value once: a list may name one twice. */
function listValues(tokens: Tokens): [string, TokenValue][] {
  const values: [string, TokenValue][] = [];
  for (const [token, value] of Object.entries(tokens))
    if (!Array.isArray(value)) values.push([token, value]);
    else for (const each of new Set(value)) values.push([token, each]);
  return values;
}
