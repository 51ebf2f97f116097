/** NULL, the ping of every program. */
import type { Procedure } from "./procedure.ts";

export const nullProcedure: Procedure = {
  name: "NULL",
  effect: "none",
  run() {},
  fail() {},
};
