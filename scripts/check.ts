/** The checks that run nothing: lint and format, types, floors. `npm run lint` and `npm run check`. */
import { runChecks } from "./checks/run-checks.ts";

const wanted = process.argv.slice(2);
const outcomes = await runChecks(wanted.length > 0 ? wanted : undefined);
process.exitCode = outcomes.every(({ ok }) => ok) ? 0 : 1;
