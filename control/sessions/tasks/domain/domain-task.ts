/** A domain from an overlay: a session's usual task. */
import { type Static, Type } from "typebox";
import { XenoError } from "../../../../cowfs/errors.ts";
import { deploymentProperties } from "../../../../xenod/daemon/deployment.ts";
import { sizeDomain } from "../../share-out.ts";
import type { DomainTasks } from "../task-manager.ts";

const { overlay, init, kernelCommandLine, hostname, environment, files, restart, follow, programs, memoryMiB, cpus } =
  deploymentProperties;

const leastMemoryMiB = 64;

/** A deployment's document without what the session says: kernel, shares, network and disk. */
export const DomainTask = Type.Object(
  {
    overlay,
    ...{ init, kernelCommandLine, hostname, environment, files, restart, follow, programs },
    memoryMiB: Type.Optional(memoryMiB),
    cpus: Type.Optional(cpus),
  },
  { additionalProperties: false },
);
export type DomainTask = Static<typeof DomainTask>;

export const domainTasks: DomainTasks<DomainTask> = {
  kind: "domain",
  schema: DomainTask,
  runsIn: "own-domain",
  takesRest: ({ memoryMiB }) => memoryMiB === undefined,
  describe(asked, { session: { lease }, left, kernel }) {
    const memoryMiB = asked.memoryMiB ?? left.memoryMiB;
    if (memoryMiB > left.memoryMiB || memoryMiB < leastMemoryMiB)
      throw short(`the session has ${left.memoryMiB} MiB left, not ${Math.max(memoryMiB, leastMemoryMiB)}`);
    const { cpuMsPerSecond } = left;
    if (lease.resources.CPUmsps > 0 && cpuMsPerSecond <= 0)
      throw short("the session's other domains have all of its CPU");
    return { ...asked, kernel, cpus: asked.cpus ?? 1, ...sizeDomain(lease, { memoryMiB, cpuMsPerSecond }) };
  },
};

function short(why: string): XenoError {
  return new XenoError("session-short", why, { hint: "end another task, or modify the session" });
}
