/** What sessions may ask for, in the words of their requirements. */
import { XenoError } from "../../cowfs/errors.ts";
import type { Environment } from "./configuration.ts";
import type { SessionResources } from "./lease.ts";
import type { Requirements } from "./requirements/requirements.ts";

const defaultMemoryMiB = 512;
const leastMemoryMiB = 64;

/** The URL of the kernel that is asked for. Throws `environment-unknown`, `kernel-unknown`: those that there are. */
export function findKernel(environments: readonly Environment[], { Basic }: Requirements): string {
  const environment = environments.find(({ type }) => type === Basic.EnvType);
  if (environment === undefined)
    throw new XenoError("environment-unknown", `there is no environment ${Basic.EnvType} here`, {
      hint: `there is ${environments.map(({ type }) => type).join(", ")}`,
    });
  const { EnvKernel = Object.keys(environment.kernels)[0]! } = Basic;
  if (Object.hasOwn(environment.kernels, EnvKernel)) return environment.kernels[EnvKernel]!;
  throw new XenoError("kernel-unknown", `there is no kernel ${EnvKernel} for ${Basic.EnvType} here`, {
    hint: `there is ${Object.keys(environment.kernels).join(", ")}`,
  });
}

export function resourcesOf({ QoS = {} }: Requirements): SessionResources {
  return {
    CPUmsps: QoS.CPUmtps ?? 0,
    MemoryMiB: Math.max(QoS.MemoryMiB ?? defaultMemoryMiB, leastMemoryMiB),
    NetMbps: QoS.NetMbps ?? 0,
    DiskMiB: QoS.DiskMiB ?? 0,
  };
}
