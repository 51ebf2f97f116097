/** `bench pull`: how little a first boot fetches, how much of a later one was here before it was asked for, and what is read how fast. */
import { parseArgs } from "node:util";
import { prepareKernel, prepareOverlay, templateUrl } from "../../control/demo/prepare.ts";
import { prepareTemplateBench, takeDirectory } from "../prepare-bench.ts";
import { readCount } from "../read-count.ts";
import { UsageError } from "../usage-error.ts";
import { bootInTurn } from "./boot-in-turn.ts";
import { measureReading } from "./measure-reading.ts";
import { formatReport } from "./report.ts";

export const pullUsage = "pull [--only reading|boots] [--runs N] [--json]";

const maxRuns = 100;

const service = new URL("../../control/demo/apache.sh", import.meta.url).pathname;

export async function runPull(options: string[], signal: AbortSignal): Promise<number> {
  const { only, runs, json } = readFlags(options);
  const preparation = await prepareTemplateBench(signal);
  const { narrator, home, machine, store, layers, template } = preparation;

  await using cleanup = new AsyncDisposableStack();
  const directory = await takeDirectory(home, cleanup);
  const ref = await layers.resolveUrl(templateUrl, signal);
  const { tell } = narrator;
  const reading = only === "boots" ? undefined : await measureReading({ store, ref, directory, runs, tell, signal });
  let boots: Awaited<ReturnType<typeof bootInTurn>> | undefined;
  if (only !== "reading") {
    await prepareKernel(preparation);
    const overlay = await prepareOverlay(preparation, service);
    boots = await bootInTurn({ home, store, template: ref, overlay, directory, cleanup, tell, signal });
  }
  await layers.close();
  await cleanup.disposeAsync();
  const report = { machine, template, reading, boots };
  process.stdout.write(json ? `${JSON.stringify({ benchmark: "pull", ...report })}\n` : formatReport(report));
  return 0;
}

function readFlags(options: string[]): { only?: string; runs: number; json: boolean } {
  try {
    const { values } = parseArgs({
      args: options,
      options: { only: { type: "string" }, runs: { type: "string" }, json: { type: "boolean" } },
    });
    const runs = readCount("--runs", values.runs ?? "5", maxRuns);
    const { only, json = false } = values;
    if (only !== undefined && only !== "reading" && only !== "boots") throw new UsageError(`there is no '${only}'`);
    return { only, runs, json };
  } catch (error) {
    throw error instanceof UsageError ? error : new UsageError((error as Error).message);
  }
}
