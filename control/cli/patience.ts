/** Commands that have much to lose wait longer for a store that is away, and say that they do. */
import { Option } from "commander";
import type { OpenStoreOptions } from "../../xenostore/stores/open-store.ts";
import { makePatientPolicy } from "../../xenostore/stores/remote/policy.ts";
import { parseNumber } from "./arguments.ts";
import { tell } from "./output.ts";

const tellEveryMs = 10_000;

export interface PatienceFlag {
  readonly patience?: number;
}

export function createPatienceOption(): Option {
  const text = "how long to go on trying while the store cannot be reached (default: 300)";
  return new Option("--patience <seconds>", text).argParser(parseNumber);
}

export function bePatient({ patience }: PatienceFlag): OpenStoreOptions {
  let toldAt = Number.NEGATIVE_INFINITY;
  const onWait = ({ message }: Error) => {
    if (performance.now() - toldAt < tellEveryMs) return;
    toldAt = performance.now();
    tell(`${message}; trying again`);
  };
  return { policy: makePatientPolicy(patience === undefined ? undefined : patience * 1000, onWait) };
}
