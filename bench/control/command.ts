/** `npm run bench -- control`: what the control plane can carry. */
import { mkdir } from "node:fs/promises";
import { parseArgs } from "node:util";
import { findHome } from "../../control/cli/home.ts";
import { tell } from "../../control/cli/output.ts";
import { describeMachine, formatMachine } from "../machine.ts";
import { UsageError } from "../usage-error.ts";
import { measureCharges } from "./measure-charges.ts";
import { measureExposure } from "./measure-exposure.ts";
import { measureLookups } from "./measure-lookups.ts";

export const controlUsage = "control [--charges N] [--servers N,N,…] [--json]";

const cheatedServers = 10;
const settlementSeconds = [1, 10, 60, 600];
/** How often it is told how many there are. */
const toldCharges = 5_000;
const toldServers = 100_000;

export async function runControl(options: string[], signal: AbortSignal): Promise<number> {
  const { charges, servers, json } = parseOptions(options);
  const machine = await describeMachine();
  const parent = findHome().at("bench");
  await mkdir(parent, { recursive: true });
  const tellCharges = (made: number) => {
    if (made % toldCharges === 0) tell(`${made} of ${charges} charges are made`);
  };
  const charged = await measureCharges(parent, charges, { signal, onProgress: tellCharges });
  const exposures = [];
  for (const seconds of settlementSeconds) {
    tell(`one order at ${cheatedServers} XenoServers that settle every ${seconds} s`);
    exposures.push(await measureExposure(parent, cheatedServers, seconds, signal));
  }
  const lookups = [];
  for (const count of servers) {
    const onProgress = (taken: number) => {
      if (taken % toldServers === 0) tell(`${taken} of ${count} XenoServers are advertised`);
    };
    lookups.push(await measureLookups(count, { signal, onProgress }));
  }
  if (json) {
    process.stdout.write(`${JSON.stringify({ machine, charges: charged, exposures, lookups })}\n`);
    return 0;
  }
  const lines = [
    formatMachine(machine),
    `charges: ${Math.round(charged.perSecond)}/s over HTTP, proved, synced; ${Math.round(charged.serverMicroseconds)} µs of the`,
    `  XenoCorp's processor each; one sync after the other: ${Math.round(charged.syncsPerSecond)}/s on this disk`,
    "",
    `one offline order, spent at ${cheatedServers} XenoServers: lost, as a share of the order, by how often they settle`,
    ...exposures.map(({ settlementSeconds: seconds, lost, ordered }) =>
      [`${seconds} s`.padStart(11), (lost / ordered).toFixed(3).padStart(18)].join(" "),
    ),
    "",
    "    SERVERS  LOOKUP µs: MEDIAN     P90  UPDATE µs: MEDIAN  FIND ms: MEDIAN     P90  BYTES EACH",
    ...lookups.map(({ servers: count, lookup, update, find, bytesEach }) =>
      [
        String(count).padStart(11),
        lookup.median.toFixed(0).padStart(18),
        lookup.p90.toFixed(0).padStart(7),
        update.median.toFixed(0).padStart(18),
        find.median.toFixed(1).padStart(16),
        find.p90.toFixed(1).padStart(7),
        bytesEach.toFixed(0).padStart(11),
      ].join(" "),
    ),
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
  return 0;
}

function parseOptions(options: string[]): { charges: number; servers: number[]; json: boolean } {
  try {
    const { values } = parseArgs({
      args: options,
      options: {
        charges: { type: "string", default: "20000" },
        servers: { type: "string", default: "10000,100000,1000000" },
        json: { type: "boolean", default: false },
      },
    });
    const charges = Number(values.charges);
    const servers = values.servers.split(",").map(Number);
    if (![charges, ...servers].every((count) => Number.isSafeInteger(count) && count > 0))
      throw new UsageError("--charges and --servers take whole numbers from 1");
    return { charges, servers, json: values.json };
  } catch (error) {
    throw error instanceof UsageError ? error : new UsageError((error as Error).message);
  }
}
