/** A disk that refuses some of what it is asked: for a moment, for a while, or from then on. */
import { choose, type Random } from "../../random.ts";
import type { DiskCall } from "./recorder.ts";

export const refusals = ["ENOSPC", "EIO", "EROFS"];

/** What each refusal hits: a full disk takes syncs, one that was remounted read-only has nothing to sync. */
const hits: Record<string, readonly DiskCall["kind"][]> = {
  ENOSPC: ["make", "write"],
  EIO: ["open", "make", "rename", "remove", "write", "cut", "sync"],
  "EIO of syncs": ["sync"],
  EROFS: ["open", "make", "rename", "remove", "write", "cut"],
  short: ["write"],
};

export class Trouble {
  readonly #kind: string;
  readonly #first: number;
  readonly #last: number;
  readonly #random: Random;
  #calls = 0;
  /** How often it has refused. */
  refused = 0;

  /** Begins somewhere in the first `calls` calls. */
  constructor(random: Random, calls: number) {
    this.#random = random;
    this.#kind = choose(random, Object.keys(hits));
    this.#first = random(calls);
    this.#last = this.#first + choose(random, [0, 0, 1, 5, 20, Number.POSITIVE_INFINITY]);
  }

  answer(call: DiskCall): string | number | undefined {
    const number = this.#calls++;
    if (number < this.#first || number > this.#last || !hits[this.#kind].includes(call.kind)) return undefined;
    if (this.#kind === "short") return 1 + this.#random(600);
    this.refused++;
    return this.#kind.split(" ")[0];
  }

  toString(): string {
    return `${this.#kind} at calls ${this.#first} to ${this.#last}`;
  }
}
