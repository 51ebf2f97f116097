/** A need that arrives when the test says so. */
import type { Need } from "../../../cowfs/fault.ts";

export interface Gate {
  readonly need: Need;
  readonly isOpen: boolean;
  /** How often it was asked for, and how many of those were given up. */
  readonly bringings: number;
  readonly aborted: number;
  open(): void;
  close(): void;
  /** What was asked for cannot be had. */
  fail(error: Error): void;
  /** Settles when it is being asked for. */
  asked(): Promise<void>;
}

export function createGate(key = "gate"): Gate {
  let isOpen = false;
  let bringings = 0;
  let aborted = 0;
  let arrival = Promise.withResolvers<void>();
  let question = Promise.withResolvers<void>();
  return {
    need: {
      key,
      bring(signal) {
        bringings++;
        question.resolve();
        signal.addEventListener("abort", () => aborted++);
        return arrival.promise;
      },
    },
    get isOpen() {
      return isOpen;
    },
    get bringings() {
      return bringings;
    },
    get aborted() {
      return aborted;
    },
    open() {
      isOpen = true;
      arrival.resolve();
    },
    close() {
      isOpen = false;
      arrival = Promise.withResolvers();
      question = Promise.withResolvers();
    },
    fail(error) {
      arrival.reject(error);
      arrival = Promise.withResolvers();
    },
    asked: () => question.promise,
  };
}
