/**
 * A control group that holds one domain's processes to its share of the processors: cgroup v2 or v1, whichever of them has
 * the cpu controller here (Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/cgroups.rst in Linux).
 *
 * The peak is a quota, which holds also on an idle host. The mean is a weight beside the other domains', which counts when
 * the processors are wanted by more than they suffice for; that it is then really had, admission sees to.
 *
 * Groups lie below the group that this process is in (v1) or below `/xeno` (v2, where a group with processes can have no
 * groups with limits below it). Where a domain's group is, a file in its directory says: a Xenod elsewhere finds it.
 */
import { createHash } from "node:crypto";
import { mkdir, readFile, rm, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { XenoError } from "../../cowfs/errors.ts";

/** Milliseconds of processor time per second of time, all of a domain's CPUs together (the deployment paper's CPUmtps). */
export interface CpuShare {
  /** What it has also when others want the same processors. */
  readonly meanMsPerSecond: number;
  /** What it never has more of. */
  readonly peakMsPerSecond: number;
}

export interface CpuGroup {
  add(pid: number): Promise<void>;
  limit(share: CpuShare): Promise<void>;
}

interface Hierarchy {
  readonly version: 1 | 2;
  readonly mountPoint: string;
}

const parentName = "xeno";
/** In the domain's directory: the version and the group's path. */
const recordName = "cpu-group";
/** What the kernel measures by: shorter ones cost more switches, longer ones let a guest stall for longer. */
const periodUs = 100_000;
/** The kernel takes no quota below 1 ms a period. */
export const minPeakMsPerSecond = 10;
const removeAttempts = 50;

/** Makes the group of the domain in this directory, or finds it made. Throws `cpu-share-unsupported`. */
export async function makeCpuGroup(domainDirectory: string): Promise<CpuGroup> {
  const known = await findRecord(domainDirectory);
  if (known !== undefined) return openGroup(known.version, known.path);
  const hierarchy = await findHierarchy();
  if (hierarchy === undefined) throw unsupported("no cgroup hierarchy has the cpu controller");
  try {
    const parent = await makeParent(hierarchy);
    const name = createHash("sha256").update(domainDirectory).digest("hex").slice(0, 24);
    const path = join(parent, name);
    await writeFile(join(domainDirectory, recordName), `${hierarchy.version} ${path}\n`, { mode: 0o600 });
    await mkdir(path, { recursive: true });
    return openGroup(hierarchy.version, path);
  } catch (cause) {
    throw unsupported((cause as Error).message, cause);
  }
}

/** Once the domain's processes are gone. Missing is fine. */
export async function removeCpuGroup(domainDirectory: string): Promise<void> {
  const known = await findRecord(domainDirectory);
  if (known === undefined) return;
  await removeGroup(known.path);
  await rm(join(domainDirectory, recordName), { force: true });
}

async function findRecord(domainDirectory: string): Promise<{ version: 1 | 2; path: string } | undefined> {
  const text = await readFile(join(domainDirectory, recordName), "utf8").catch(() => "");
  const [, version, path] = /^([12]) (\/.*)\n$/.exec(text) ?? [];
  return path === undefined ? undefined : { version: Number(version) as 1 | 2, path };
}

function openGroup(version: 1 | 2, path: string): CpuGroup {
  const write = async (file: string, value: string | number) => {
    await writeFile(join(path, file), String(value)).catch((cause) => {
      throw unsupported(`${join(path, file)} does not take ${value}: ${cause.message}`, cause);
    });
  };
  return {
    add: (pid) => write("cgroup.procs", pid),
    async limit({ meanMsPerSecond, peakMsPerSecond }) {
      const quotaUs = Math.round((periodUs * Math.max(peakMsPerSecond, minPeakMsPerSecond)) / 1000);
      if (version === 2) {
        await write("cpu.max", `${quotaUs} ${periodUs}`);
        return await write("cpu.weight", clamp(meanMsPerSecond / 10, 1, 10_000));
      }
      await write("cpu.cfs_period_us", periodUs);
      await write("cpu.cfs_quota_us", quotaUs);
      await write("cpu.shares", clamp((meanMsPerSecond * 1024) / 1000, 2, 262_144));
    },
  };
}

async function removeGroup(path: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await rmdir(path);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ENOENT") return;
      // A process counts until it was reaped.
      if (code !== "EBUSY" || attempt === removeAttempts) throw error;
      await delay(20);
    }
  }
}

async function makeParent({ version, mountPoint }: Hierarchy): Promise<string> {
  if (version === 1) {
    const own = (await readGroupPath(process.pid, 1)) ?? "/";
    // A path that leads out is of a process that sees only a part of the hierarchy: its root is what is mounted.
    const parent = join(mountPoint, own.startsWith("/..") ? "/" : own, parentName);
    await mkdir(parent, { recursive: true });
    return parent;
  }
  const parent = join(mountPoint, parentName);
  await mkdir(parent, { recursive: true });
  for (const group of [mountPoint, parent]) await writeFile(join(group, "cgroup.subtree_control"), "+cpu");
  return parent;
}

async function findHierarchy(): Promise<Hierarchy | undefined> {
  const mounts = (await readFile("/proc/self/mountinfo", "utf8")).split("\n").map(parseMount);
  for (const { type, mountPoint } of mounts) {
    if (type !== "cgroup2") continue;
    const controllers = await readFile(join(mountPoint, "cgroup.controllers"), "utf8").catch(() => "");
    if (controllers.trim().split(" ").includes("cpu")) return { version: 2, mountPoint };
  }
  const old = mounts.find(({ type, options }) => type === "cgroup" && options.includes("cpu"));
  return old && { version: 1, mountPoint: old.mountPoint };
}

/** A line of proc(5) mountinfo. */
function parseMount(line: string): { mountPoint: string; type: string; options: string[] } {
  const [left, right = ""] = line.split(" - ");
  const [type, , options = ""] = right.split(" ");
  return { mountPoint: left.split(" ")[4] ?? "", type, options: options.split(",") };
}

/** From cgroups(7), /proc/PID/cgroup: `0::PATH` for v2, `N:cpu,cpuacct:PATH` for v1. */
async function readGroupPath(pid: number, version: 1 | 2): Promise<string | undefined> {
  const text = await readFile(`/proc/${pid}/cgroup`, "utf8").catch(() => "");
  for (const line of text.split("\n")) {
    const [number, controllers, ...path] = line.split(":");
    const isMeant = version === 2 ? number === "0" && controllers === "" : controllers?.split(",").includes("cpu");
    if (isMeant) return path.join(":");
  }
  return undefined;
}

function clamp(value: number, min: number, max: number): number {
  return Math.min(max, Math.max(min, Math.round(value)));
}

function unsupported(reason: string, cause?: unknown): XenoError {
  return new XenoError("cpu-share-unsupported", `this host cannot hold a guest to a share of its CPUs: ${reason}`, {
    hint: "mount cgroup2 with the cpu controller, or ask for no share",
    cause,
  });
}
