/** What XenoServers have and have left, as a plan needs it. */
import type { XenodClient } from "../../xenod/api/client.ts";
import { isUp, overheadMiB } from "../../xenod/resources/admission.ts";
import type { SurveyedServer } from "./plan-moves.ts";

export async function surveyServer(name: string, client: XenodClient, signal: AbortSignal): Promise<SurveyedServer> {
  const [{ room, isDraining }, domains] = await Promise.all([client.status(signal), client.domains(signal)]);
  return {
    ...{ name, isDraining, memoryMiB: room.memoryMiB, cpuMsPerSecond: room.cpuMsPerSecond },
    domains: domains
      .filter(({ state }) => isUp(state))
      .map((record) => ({
        name: record.name,
        memoryMiB: record.deployment.memoryMiB + overheadMiB,
        cpuMsPerSecond: record.deployment.cpu?.meanMsPerSecond ?? 0,
        isRunning: record.state === "running",
      })),
  };
}
