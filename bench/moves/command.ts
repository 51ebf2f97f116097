/** `bench suspend`, `resume`, `migrate`: a guest that runs is stopped, brought back or moved, again and again, beside bare QEMU. */
import path from "node:path";
import { parseArgs } from "node:util";
import { kernelUrl, prepareKernel, prepareOverlay } from "../../control/demo/prepare.ts";
import { startServers } from "../../control/network/start-servers.ts";
import { prepareDisk } from "../boot/disk/prepare.ts";
import { prepareHypervisor } from "../boot/prepare-hypervisor.ts";
import { prepareTemplateBench, takeDirectory } from "../prepare-bench.ts";
import { readCount } from "../read-count.ts";
import { UsageError } from "../usage-error.ts";
import { Asker } from "./asker.ts";
import { createBareMover } from "./bare/bare-mover.ts";
import { measureMigrate, measureResume, measureSuspend, waitUntilUp } from "./measure.ts";
import type { Mover } from "./mover.ts";
import { formatReport, type MoverResult, summarizeReport } from "./report.ts";
import { type Service, services } from "./services.ts";
import { createXenoMover } from "./xeno-mover.ts";

export type Move = "suspend" | "resume" | "migrate";

const measures = { suspend: measureSuspend, resume: measureResume, migrate: measureMigrate };
const maxRuns = 10_000;
export const movesUsage = (move: Move) => `${move} [--runs N] [--service ${Object.keys(services).join("|")}] [--json]`;

export async function runMoves(move: Move, options: string[], signal: AbortSignal): Promise<number> {
  const { runs, service, json } = readFlags(options);
  const preparation = await prepareTemplateBench(signal);
  const { home, machine, layers, template } = preparation;
  const { tell } = preparation.narrator;
  await prepareKernel(preparation);
  const overlay = await prepareOverlay(preparation, service.script, service.overlayUrl);

  await using cleanup = new AsyncDisposableStack();
  const directory = await takeDirectory(home, cleanup);
  const hypervisor = await prepareHypervisor(layers, kernelUrl, home.at("bench", "kernels"), signal);
  tell("machine", hypervisor.kvm.reason);
  const contentBytes = template.bytes + overlay.bytes;
  const place = home.at("bench", `${service.name}-disk`);
  const wanted = { layers, image: hypervisor.image, overlay, contentBytes, directory: place, signal };
  const disk = await prepareDisk(wanted, tell);

  const paths = { stateDirectory: directory, friendsDirectory: path.join(directory, "keys") };
  const local = await startServers({ home, names: ["s1", "s2"], ...paths, cleanup, signal, tell });
  const movers = [
    createXenoMover(local, local.peers, overlay.url, service),
    await createBareMover({ local, hypervisor, ...disk, directory, service }),
  ];
  const results: (MoverResult & { readonly asker: Asker })[] = [];
  for (const mover of movers) {
    const asker = new Asker(local.clientNamespace);
    cleanup.defer(() => asker.close());
    cleanup.defer(() => mover.remove());
    const started = Date.now();
    await mover.boot(signal);
    await waitUntilUp(mover, asker, service, signal);
    tell(mover.name, `its service answered after ${((Date.now() - started) / 1000).toFixed(1)} s`);
    results.push({ mover, runs: [], asker });
  }
  for (let run = 1; run <= runs; run++)
    for (const { mover, asker, runs: measured } of results) {
      const figures = await measures[move](mover, asker, service, signal);
      measured.push(figures);
      tell(`${run}/${runs} ${mover.name}`, describe(figures));
    }
  await cleanup.disposeAsync();

  const report = { move, service: service.name, machine, kvm: hypervisor.kvm, results };
  process.stdout.write(json ? `${JSON.stringify(summarizeReport(report))}\n` : formatReport(report));
  return 0;
}

function describe(figures: Awaited<ReturnType<Mover["suspend"]>>): string {
  return Object.entries(figures)
    .map(([name, value]) => `${name} ${Math.round(value)}`)
    .join(", ");
}

function readFlags(options: string[]): { runs: number; service: Service; json: boolean } {
  try {
    const { values } = parseArgs({
      args: options,
      options: { runs: { type: "string" }, service: { type: "string" }, json: { type: "boolean" } },
    });
    const { service: name = "clock", json = false } = values;
    const service = Object.hasOwn(services, name) ? services[name] : undefined;
    if (service === undefined)
      throw new UsageError(`there is no service '${name}': ${Object.keys(services).join(", ")}`);
    return { runs: readCount("--runs", values.runs ?? "5", maxRuns), service, json };
  } catch (error) {
    throw error instanceof UsageError ? error : new UsageError((error as Error).message);
  }
}
