/** One thing that a XenoServer wants of its machine. */
export interface Check {
  /** Short, for a table's first column. */
  readonly name: string;
  readonly ok: boolean;
  /** False where the system works without it, slower or with less. */
  readonly required: boolean;
  /** What is there, as far as it goes. */
  readonly found: string;
  /** What is not there and what it is for; empty where all is well. */
  readonly missing: string;
  /** What to do about it: a command where there is one. Empty where all is well. */
  readonly howToGet: string;
}

export function pass(name: string, found: string, required = true): Check {
  return { name, ok: true, required, found, missing: "", howToGet: "" };
}
