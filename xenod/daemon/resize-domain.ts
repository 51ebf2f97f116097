/**
 * Gives a domain another size. What can be changed under its guest is changed at once; the rest when it next boots, and is
 * `nextSize` until then.
 *
 *                   of a guest that runs                         suspended         stopped, crashed
 *     cpu, network  at once                                      at once           at once
 *     memoryMiB     at its next boot; its balloon is asked       at its next boot  at once
 *                   at once for what is to be less
 *     journalMiB    at its next boot                             at its next boot  at once
 *
 * - (Z1) `deployment` has what the domain may take of the host, which is what admission counts. What a guest gives back by its
 *   balloon it can take again: it counts until the guest has ended.
 * - (Z2) A record tells a size once the domain has it. Who is killed in between has not answered, and is asked again.
 */
import { isDeepStrictEqual } from "node:util";
import { XenoError } from "../../cowfs/errors.ts";
import { limitLink } from "../links/guest-link.ts";
import { admitShares } from "../resources/admission.ts";
import { admissionQueue, type DeployedSize, sizeOf, withSize } from "./deployment.ts";
import type { DomainRecord } from "./domain-record.ts";
import { describeGuestLink, type Host } from "./host.ts";

const stillStates = ["running", "stopped", "crashed", "suspended"];

/** The same again changes nothing. Throws `domain-busy`, `cpu-short`, `cpu-invalid`, `quota-invalid`, what the platform refuses. */
export async function resizeDomain(host: Host, name: string, size: DeployedSize): Promise<DomainRecord> {
  const { records, queues } = host;
  requireStill(records.get(name));
  return await queues.run(admissionQueue, () =>
    queues.run(name, async () => {
      const record = records.get(name);
      requireStill(record);
      const others = records.list().filter((other) => other !== record);
      admitShares({ cpus: record.deployment.cpus, ...size }, others);
      if (record.state === "running") await resizeRunning(host, record, size);
      const isEnded = record.state === "stopped" || record.state === "crashed";
      const { memoryMiB, journalMiB } = record.deployment;
      note(record, isEnded ? size : { ...size, memoryMiB, journalMiB }, size);
      await records.save(record);
      return record;
    }),
  );
}

/** Notes what a domain has, and what it is to have. */
export function note(record: DomainRecord, has: DeployedSize, wanted: DeployedSize): void {
  record.askedSize ??= sizeOf(record.deployment);
  record.deployment = withSize(record.deployment, has);
  record.nextSize = isDeepStrictEqual(sizeOf(has), sizeOf(wanted)) ? undefined : sizeOf(wanted);
}

async function resizeRunning(
  host: Host,
  record: DomainRecord,
  { memoryMiB, cpu, network }: DeployedSize,
): Promise<void> {
  const { deployment, nextSize } = record;
  const isAsked = memoryMiB < deployment.memoryMiB || nextSize !== undefined;
  const peakMsPerSecond = deployment.cpus * 1000;
  const domain = host.domains.get(record.name);
  if (domain === undefined) throw busy(record);
  // Without a share it has what is idle.
  const share = cpu ?? (deployment.cpu && { meanMsPerSecond: 1 });
  await domain.resize({
    ...(isAsked ? { memoryMiB: Math.min(memoryMiB, deployment.memoryMiB) } : {}),
    ...(share === undefined ? {} : { cpu: { peakMsPerSecond, ...share } }),
  });
  if (!isDeepStrictEqual(network, deployment.network))
    await limitLink({ ...describeGuestLink(host, record), peakKbitPerSecond: network?.peakKbitPerSecond });
}

function requireStill(record: DomainRecord): void {
  const isStill = record.operation === undefined && stillStates.includes(record.state);
  if (!isStill) throw busy(record);
}

function busy({ name, state }: DomainRecord): XenoError {
  const hint = "xeno ps shows what it does: then try again";
  return new XenoError("domain-busy", `domain ${name} is ${state}`, { hint });
}
