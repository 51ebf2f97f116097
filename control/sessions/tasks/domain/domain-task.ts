/** A domain from an overlay: a session's usual task. */
import { type Static, Type } from "typebox";
import { XenoError } from "../../../../cowfs/errors.ts";
import { type Deployment, deploymentProperties } from "../../../../xenod/daemon/deployment.ts";
import type { TaskManager, TaskPlace } from "../task-manager.ts";

const { overlay, init, kernelCommandLine, hostname, environment, files, restart, follow, memoryMiB, cpus } =
  deploymentProperties;

/** A deployment's document without what the session says: kernel, shares, network and disk. */
export const DomainTask = Type.Object(
  {
    overlay,
    ...{ init, kernelCommandLine, hostname, environment, files, restart, follow },
    memoryMiB: Type.Optional(memoryMiB),
    cpus: Type.Optional(cpus),
  },
  { additionalProperties: false },
);
export type DomainTask = Static<typeof DomainTask>;

export const domainTasks: TaskManager<DomainTask> = {
  kind: "domain",
  schema: DomainTask,
  describe(asked, place) {
    const { session, left, kernel } = place;
    const { resources, requirements } = session.lease;
    const memory = asked.memoryMiB ?? left.memoryMiB;
    if (memory > left.memoryMiB || memory < 64)
      throw new XenoError("session-short", `the session has ${left.memoryMiB} MiB left, not ${Math.max(memory, 64)}`, {
        hint: "end another task, or modify the session",
      });
    return {
      ...asked,
      kernel,
      memoryMiB: memory,
      cpus: asked.cpus ?? 1,
      ...shareOf(place, requirements.QoS?.CPUmtpsPeak),
      ...(resources.NetMbps > 0 ? { network: { peakKbitPerSecond: resources.NetMbps * 1000 } } : {}),
      ...(resources.DiskMiB > 0 ? { journalMiB: resources.DiskMiB } : {}),
    };
  },
};

/** Of a session that asks for none, its domains have what is idle. */
function shareOf({ session, left }: TaskPlace, peak: number | undefined): Pick<Deployment, "cpu"> {
  if (session.lease.resources.CPUmsps === 0) return {};
  if (left.cpuMsPerSecond === 0)
    throw new XenoError("session-short", "the session's other domains have all of its CPU", {
      hint: "end another task, or modify the session",
    });
  const peakMsPerSecond = peak === undefined ? {} : { peakMsPerSecond: Math.max(peak, left.cpuMsPerSecond) };
  return { cpu: { meanMsPerSecond: left.cpuMsPerSecond, ...peakMsPerSecond } };
}
