/** `bench boot`: repeats deploying the service of `npm start`, and shows where the time goes. */
import { parseArgs } from "node:util";
import { exitCodes } from "../../control/cli/output.ts";
import { kernelUrl, prepareKernel, prepareOverlay } from "../../control/demo/prepare.ts";
import { maxLocalServers } from "../../control/network/local-network.ts";
import { startServers } from "../../control/network/start-servers.ts";
import { prepareTemplateBench, takeDirectory } from "../prepare-bench.ts";
import { readCount } from "../read-count.ts";
import { UsageError } from "../usage-error.ts";
import { createDiskContender } from "./disk/contender.ts";
import { prepareDisk } from "./disk/prepare.ts";
import { prepareHypervisor } from "./prepare-hypervisor.ts";
import { repeatBoots } from "./repeat-boots.ts";
import { formatReport, summarizeReport } from "./report.ts";
import { createXenoContender } from "./xeno-contender.ts";

export const bootUsage = "boot [--runs N] [--servers K] [--peer disk] [--json]";

const maxRuns = 10_000;
/** Each may have a peer beside it on the switch. */
const maxServers = maxLocalServers / 2;
const service = new URL("../../control/demo/apache.sh", import.meta.url).pathname;

interface BootFlags {
  readonly runs: number;
  readonly servers: number;
  readonly peer?: "disk";
  readonly json: boolean;
}

export async function runBoot(options: string[], signal: AbortSignal): Promise<number> {
  const { runs, servers, peer, json } = readFlags(options);
  const preparation = await prepareTemplateBench(signal);
  const { narrator, home, machine, layers, template } = preparation;
  await prepareKernel(preparation);
  const overlay = await prepareOverlay(preparation, service);

  await using cleanup = new AsyncDisposableStack();
  const directory = await takeDirectory(home, cleanup);
  const hypervisor = await prepareHypervisor(layers, kernelUrl, home.at("bench", "kernels"), signal);
  const { kvm } = hypervisor;
  narrator.tell("machine", kvm.reason);
  // Before the servers start, so that the first boot need not share the machine with it.
  const contentBytes = template.bytes + overlay.bytes;
  const request = {
    layers,
    image: hypervisor.image,
    overlay,
    contentBytes,
    directory: home.at("bench", "disk"),
    signal,
  };
  const disk = peer === "disk" ? await prepareDisk(request, narrator.tell) : undefined;

  const names = Array.from({ length: servers }, (_, index) => `s${index + 1}`);
  const { tell } = narrator;
  const local = await startServers({ home, names, stateDirectory: directory, cleanup, signal, tell });
  const contenders = [createXenoContender(local, overlay.url)];
  if (disk !== undefined) contenders.push(await createDiskContender({ local, hypervisor, ...disk, directory }));
  const results = await repeatBoots(contenders, runs, tell, signal);
  await cleanup.disposeAsync();

  const report = { runs, machine, kvm, template, overlay, results };
  process.stdout.write(json ? `${JSON.stringify(summarizeReport(report))}\n` : formatReport(report));
  const failed = results.flatMap(({ failures }) => failures).length;
  if (failed === 0) return 0;
  return results.some(({ boots }) => boots.length > 0) ? exitCodes.partial : exitCodes.error;
}

function readFlags(options: string[]): BootFlags {
  try {
    const { values } = parseArgs({
      args: options,
      options: {
        runs: { type: "string" },
        servers: { type: "string" },
        peer: { type: "string" },
        json: { type: "boolean" },
      },
    });
    const { peer } = values;
    if (peer !== undefined && peer !== "disk") throw new UsageError(`there is no peer '${peer}'`);
    return {
      runs: readCount("--runs", values.runs ?? "5", maxRuns),
      servers: readCount("--servers", values.servers ?? "1", maxServers),
      peer,
      json: values.json ?? false,
    };
  } catch (error) {
    throw error instanceof UsageError ? error : new UsageError((error as Error).message);
  }
}
