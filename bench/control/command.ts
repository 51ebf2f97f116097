/** `npm run bench -- control`: what the control plane can carry. */
import { mkdir } from "node:fs/promises";
import { parseArgs } from "node:util";
import { findHome } from "../../control/cli/home.ts";
import { exitCodes, tell } from "../../control/cli/output.ts";
import { describeMachine, formatMachine } from "../machine.ts";
import { readCount } from "../read-count.ts";
import { UsageError } from "../usage-error.ts";
import { type ChargesMeasured, measureCharges } from "./measure-charges.ts";
import { type ExposureMeasured, measureExposure } from "./measure-exposure.ts";
import { type LookupsMeasured, measureLookups } from "./measure-lookups.ts";

export const controlUsage = "control [--charges N] [--servers N,N,…] [--minutes N] [--json]";

const cheatedServers = 10;
const settlementSeconds = [1, 10, 60, 600];
/** How often it is told how many there are. */
const toldCharges = 5_000;
const toldServers = 100_000;

interface Measured {
  charges?: ChargesMeasured;
  readonly exposures: ExposureMeasured[];
  readonly lookups: LookupsMeasured[];
}

/** Interrupted, or out of time, it prints what it has measured by then. */
export async function runControl(options: string[], interrupted: AbortSignal): Promise<number> {
  const { charges, servers, minutes, json } = parseOptions(options);
  const machine = await describeMachine();
  const measured: Measured = { exposures: [], lookups: [] };
  const signal = AbortSignal.any([interrupted, AbortSignal.timeout(minutes * 60_000)]);
  try {
    await measureAll(measured, charges, servers, signal);
  } catch (error) {
    if (!signal.aborted) throw error;
    tell(`not measured to its end: ${interrupted.aborted ? "interrupted" : `${minutes} minutes are over`}`);
  }
  if (json) process.stdout.write(`${JSON.stringify({ machine, ...measured })}\n`);
  else process.stdout.write(`${formatMachine(machine)}\n${formatMeasured(measured)}`);
  if (!signal.aborted) return 0;
  return interrupted.aborted ? exitCodes.interrupted : exitCodes.partial;
}

async function measureAll(measured: Measured, charges: number, servers: number[], signal: AbortSignal): Promise<void> {
  const parent = findHome().at("bench");
  await mkdir(parent, { recursive: true });
  const tellCharges = (made: number) => {
    if (made % toldCharges === 0) tell(`${made} of ${charges} charges are made`);
  };
  measured.charges = await measureCharges(parent, charges, { signal, onProgress: tellCharges });
  for (const seconds of settlementSeconds) {
    tell(`one order at ${cheatedServers} XenoServers that settle every ${seconds} s`);
    measured.exposures.push(await measureExposure(parent, cheatedServers, seconds, signal));
  }
  for (const count of servers) {
    const onProgress = (taken: number) => {
      if (taken % toldServers === 0) tell(`${taken} of ${count} XenoServers are advertised`);
    };
    measured.lookups.push(await measureLookups(count, { signal, onProgress }));
  }
}

function formatMeasured({ charges, exposures, lookups }: Measured): string {
  const lines = [
    ...(charges === undefined ? [] : formatCharges(charges)),
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
  return `${lines.join("\n")}\n`;
}

function formatCharges({ perSecond, serverMicroseconds, syncsPerSecond }: ChargesMeasured): string[] {
  return [
    `charges: ${Math.round(perSecond)}/s over HTTP, proved, synced; ${Math.round(serverMicroseconds)} µs of the`,
    `  XenoCorp's processor each; one sync after the other: ${Math.round(syncsPerSecond)}/s on this disk`,
  ];
}

function parseOptions(options: string[]): { charges: number; servers: number[]; minutes: number; json: boolean } {
  try {
    const { values } = parseArgs({
      args: options,
      options: {
        charges: { type: "string", default: "20000" },
        servers: { type: "string", default: "10000,100000,1000000" },
        minutes: { type: "string", default: "20" },
        json: { type: "boolean", default: false },
      },
    });
    const charges = Number(values.charges);
    const servers = values.servers.split(",").map(Number);
    if (![charges, ...servers].every((count) => Number.isSafeInteger(count) && count > 0))
      throw new UsageError("--charges and --servers take whole numbers from 1");
    return { charges, servers, minutes: readCount("--minutes", values.minutes, 10_000), json: values.json };
  } catch (error) {
    throw error instanceof UsageError ? error : new UsageError((error as Error).message);
  }
}
