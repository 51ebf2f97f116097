/** `bench guest`: a whole guest at work, its root from our file server, from nfs-ganesha on overlayfs, and on a disk image. */
import path from "node:path";
import { parseArgs } from "node:util";
import { kernelUrl, prepareKernel, prepareOverlay } from "../../control/demo/prepare.ts";
import { joinServer } from "../../control/network/local-network.ts";
import { type LocalServers, startServers } from "../../control/network/start-servers.ts";
import { AddressPool } from "../../xenod/daemon/address-pool.ts";
import { prepareDisk } from "../boot/disk/prepare.ts";
import type { PreparedHypervisor } from "../boot/prepare-hypervisor.ts";
import { prepareHypervisor } from "../boot/prepare-hypervisor.ts";
import { requireTools } from "../nfs/prepare-tools.ts";
import { prepareTemplateBench, takeDirectory } from "../prepare-bench.ts";
import { readCount } from "../read-count.ts";
import { UsageError } from "../usage-error.ts";
import type { PeerPlace } from "./boot-peer.ts";
import type { Contender } from "./contender.ts";
import { createDiskContender } from "./disk-contender.ts";
import { followWork } from "./follow-work.ts";
import { createGaneshaContender } from "./ganesha-contender.ts";
import { formatReport, type GuestResult, summarizeReport } from "./report.ts";
import { createXenoContender } from "./xeno-contender.ts";

export const guestUsage = "guest [--only xeno,xeno-async,ganesha,ganesha-sync,disk] [--runs N] [--json]";

const maxRuns = 1000;
const names: readonly string[] = ["xeno", "xeno-async", "ganesha", "ganesha-sync", "disk"];
/** Three to eight minutes a run each. */
const defaultNames = names.filter((name) => name !== "ganesha-sync");
const script = new URL("work.sh", import.meta.url).pathname;
const overlayUrl = "xenostore://demo/bench-guest";

export async function runGuest(options: string[], signal: AbortSignal): Promise<number> {
  const { only, runs, json } = readFlags(options);
  requireTools();
  const preparation = await prepareTemplateBench(signal);
  const { home, machine, layers, template } = preparation;
  const { tell } = preparation.narrator;
  await prepareKernel(preparation);
  const overlay = await prepareOverlay(preparation, script, overlayUrl);

  await using cleanup = new AsyncDisposableStack();
  const directory = await takeDirectory(home, cleanup);
  const hypervisor = await prepareHypervisor(layers, kernelUrl, home.at("bench", "kernels"), signal);
  tell("machine", hypervisor.kvm.reason);
  const contentBytes = template.bytes + overlay.bytes;
  const wanted = { layers, image: hypervisor.image, overlay, contentBytes, signal };
  const disk = await prepareDisk({ ...wanted, directory: home.at("bench", "guest-disk") }, tell);
  const local = await startServers({ home, names: ["s1"], stateDirectory: directory, cleanup, signal, tell });
  const contenders = [
    createXenoContender(local, overlay.url, false),
    createXenoContender(local, overlay.url, true),
    createGaneshaContender(await findPlace(local, hypervisor, directory, 1), disk, false),
    createGaneshaContender(await findPlace(local, hypervisor, directory, 2), disk, true),
    createDiskContender(await findPlace(local, hypervisor, directory, 3), disk),
  ];
  const chosen = contenders.filter(({ name }) => only.includes(name));
  const results = chosen.map((contender): GuestResult => ({ contender, runs: [] }));
  for (let run = 1; run <= runs; run++) {
    // In an order that turns, so that none is always the first.
    for (const { contender, runs: measured } of turn(results, run))
      measured.push(await measure(contender, (what) => tell(`${run}/${runs} ${contender.name}`, what), signal));
  }
  await cleanup.disposeAsync();

  const report = { machine, kvm: hypervisor.kvm, results };
  process.stdout.write(json ? `${JSON.stringify(summarizeReport(report))}\n` : formatReport(report));
  return 0;
}

async function measure(contender: Contender, tell: (what: string) => void, signal: AbortSignal) {
  await contender.prepare?.(signal);
  const startedAt = Date.now();
  const guest = await contender.boot(signal);
  try {
    return await followWork(guest, startedAt, tell, signal);
  } finally {
    await guest.remove();
  }
}

function turn<T>(all: readonly T[], by: number): T[] {
  const first = by % all.length;
  return [...all.slice(first), ...all.slice(0, first)];
}

/** Beside the XenoServer on its switch. */
async function findPlace(
  { prefix }: LocalServers,
  hypervisor: PreparedHypervisor,
  directory: string,
  index: number,
): Promise<PeerPlace> {
  const server = `peer${index}`;
  const { addressPool } = await joinServer(prefix, { name: server, number: 1 + index });
  const address = new AddressPool(addressPool).choose(() => false);
  return { hypervisor, prefix, server, address, directory: path.join(directory, server) };
}

function readFlags(options: string[]): { only: readonly string[]; runs: number; json: boolean } {
  try {
    const { values } = parseArgs({
      args: options,
      options: { only: { type: "string" }, runs: { type: "string" }, json: { type: "boolean" } },
    });
    const only = values.only?.split(",") ?? defaultNames;
    const unknown = only.find((name) => !names.includes(name));
    if (unknown !== undefined) throw new UsageError(`there is no '${unknown}': ${names.join(", ")}`);
    return { only, runs: readCount("--runs", values.runs ?? "3", maxRuns), json: values.json ?? false };
  } catch (error) {
    throw error instanceof UsageError ? error : new UsageError((error as Error).message);
  }
}
