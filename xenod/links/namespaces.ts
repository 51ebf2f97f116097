/**
 * Network namespaces by name (ip-netns(8)): made, configured and removed by iproute2, nftables and nsenter.
 *
 * A namespace counts as made only when its configuration is complete: the last step writes a digest of what was asked for
 * to the loopback device's alias. So whoever is killed half-way leaves something that the next try tells from a finished
 * one, and makes anew; a finished one is left alone, with the guest that may run on it.
 */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { execa } from "execa";
import { XenoError } from "../../cowfs/errors.ts";
import { systemEnvironment } from "../system-path.ts";

/** For commands whose failure is an answer. */
const tolerant = { reject: false, stdin: "ignore", env: systemEnvironment } as const;

/** Of iproute2. */
const namesDirectory = "/run/netns";
/** A host may be slow: many guests, or an emulated one. */
const deadlineMs = 60_000;
const namesPattern = /^[a-z0-9-]{1,40}$/;

/** `prefix.part.part`; parts hold no dot, so that names cannot run into each other. */
export function joinNames(prefix: string, ...parts: string[]): string {
  for (const part of [prefix, ...parts]) {
    if (!namesPattern.test(part)) {
      throw new XenoError("name-invalid", `"${part}" cannot name a server, domain or network`, {
        hint: "use up to 40 of a-z, 0-9 and -",
      });
    }
  }
  return [prefix, ...parts].join(".");
}

export function namespacePath(namespace: string): string {
  return `${namesDirectory}/${namespace}`;
}

export interface OuterEnd {
  readonly namespace: string;
  readonly device: string;
}

/** What a namespace holds. */
export interface NamespaceConfiguration {
  /** Settings under /proc/sys, as `net/ipv4/ip_forward=1`; made before there is any device. */
  readonly settings: readonly string[];
  /** Lines of `ip -batch`, run inside. */
  readonly devices: readonly string[];
  /** An nftables script, run inside after the devices are there. */
  readonly rules?: string;
  /**
   * The other ends of its veth pairs, elsewhere. The kernel removes a deleted namespace's devices later, by its own time;
   * to make the namespace anew, they are removed by name first.
   */
  readonly outerEnds?: readonly OuterEnd[];
  /** Lines of `ip -batch`, run in another namespace once this one is there, also where it was found made. */
  readonly outside?: { readonly namespace: string; readonly devices: readonly string[] };
}

/** For each `NAMESPACE DEVICE` after the name ($1): that device goes, then the namespace itself. */
const removing = `name=$1; shift
while [ $# -gt 1 ]; do ip -n "$1" link delete "$2" 2>/dev/null || :; shift 2; done
# Killed between making the file and mounting on it, ip netns add leaves one that delete does not take.
ip netns delete "$name" 2>/dev/null || rm -f "/run/netns/$name"`;

/** Inside: settings ($1), devices ($2), rules ($3), and at last the digest ($4). */
const configuring = `for setting in $1; do echo "\${setting#*=}" >"/proc/sys/\${setting%%=*}"; done
printf '%s\\n' "$2" | ip -batch -
[ -z "$3" ] || printf '%s\\n' "$3" | nft -f -
ip link set lo up alias "$4"`;

const outsideFailed = 3;
/** $1 is `configuring`, $2 to $5 is what it takes; $6 and $7 is `outside`. The rest is for `removing`. */
const making = `set -e
configuring=$1 settings=$2 devices=$3 rules=$4 digest=$5 outside=$6 others=$7; shift 7
if ! ip -n "$1" link show lo 2>/dev/null | grep -qxF "    alias $digest"; then
  ${removing}
  ip netns add "$name"
  nsenter "--net=/run/netns/$name" sh -ec "$configuring" sh "$settings" "$devices" "$rules" "$digest"
fi
[ -z "$outside" ] || printf '%s\\n' "$others" | ip -n "$outside" -batch - || exit ${outsideFailed}`;

/**
 * Makes a namespace, or finds it made. Anything else of that name is removed first.
 *
 * One shell starts all programs: for a Node of 130 MB each costs 12 ms, in which nothing else happens (fork copies its page tables).
 */
export async function createNamespace(namespace: string, configuration: NamespaceConfiguration): Promise<void> {
  const { outside, ...inside } = configuration;
  const { settings, devices, rules = "", outerEnds } = inside;
  const digest = `xeno:${createHash("sha256").update(JSON.stringify(inside)).digest("hex").slice(0, 32)}`;
  const texts = [configuring, settings.join("\n"), devices.join("\n"), rules, digest];
  const others = [outside?.namespace ?? "", outside?.devices.join("\n") ?? ""];
  try {
    const options = ["-c", making, "sh", ...texts, ...others, namespace, ...describeEnds(outerEnds)];
    await runTool("sh", options, `making the network namespace ${namespace}`);
  } catch (error) {
    // A finished one stays, with the guest that may run on it.
    const { exitCode } = (error as Error).cause as { exitCode?: number };
    if (exitCode !== outsideFailed) await deleteNamespace(namespace, outerEnds);
    throw error;
  }
}

function describeEnds(ends: readonly OuterEnd[] = []): string[] {
  return ends.flatMap(({ namespace, device }) => [namespace, device]);
}

/** Undefined, here and below, is the host's own namespace: only what an operator asked for is done there. */
export async function configureDevices(namespace: string | undefined, lines: readonly string[]): Promise<void> {
  const input = lines.map((line) => `${line}\n`).join("");
  const inside = namespace === undefined ? [] : ["-n", namespace];
  await runTool("ip", [...inside, "-batch", "-"], `configuring ${describeNamespace(namespace)}`, input);
}

/** Holds what leaves by a device to a rate (tc-tbf(8)), or no longer to any. Said again, the new rate counts. */
export async function limitRate({ namespace, device }: OuterEnd, kbitPerSecond: number | undefined): Promise<void> {
  const filter = kbitPerSecond === undefined ? ["noqueue"] : describeBucket(kbitPerSecond);
  const options = ["-n", namespace, "qdisc", "replace", "dev", device, "root", ...filter];
  await runTool("tc", options, `limiting ${device} in the network namespace ${namespace}`);
}

/** Of 20 ms at the rate, and with room for a full segment of virtio's offload. */
function describeBucket(kbitPerSecond: number): string[] {
  const burst = Math.max(65_536, Math.round((kbitPerSecond * 125) / 50));
  return ["tbf", "rate", `${kbitPerSecond}kbit`, "burst", `${burst}b`, "latency", "100ms"];
}

export async function applyRules(namespace: string | undefined, rules: string): Promise<void> {
  await runInside(namespace, ["nft", "-f", "-"], `filtering in ${describeNamespace(namespace)}`, rules);
}

export async function applySettings(namespace: string | undefined, settings: readonly string[]): Promise<void> {
  // /proc/sys/net shows the namespace of the process that opens it.
  const script = 'while [ $# -gt 1 ]; do echo "$2" >"/proc/sys/$1" || exit 1; shift 2; done';
  const pairs = settings.flatMap((setting) => setting.split("="));
  await runInside(namespace, ["sh", "-c", script, "sh", ...pairs], `setting up ${describeNamespace(namespace)}`);
}

function describeNamespace(namespace: string | undefined): string {
  return namespace === undefined ? "the host's network" : `the network namespace ${namespace}`;
}

/**
 * Removes the name and its devices. What still runs inside keeps running, with no way out where the outer ends of its pairs
 * are given. Missing is fine.
 */
export async function deleteNamespace(namespace: string, outerEnds: readonly OuterEnd[] = []): Promise<void> {
  await execa("sh", ["-c", removing, "sh", namespace, ...describeEnds(outerEnds)], tolerant);
  await dropEmptyMount();
}

/** `ip netns add` mounts the directory of names over itself; the last name that goes takes that along. */
async function dropEmptyMount(): Promise<void> {
  const names = await readdir(namesDirectory).catch(() => ["?"]);
  // A name that comes in this moment is a mount below it, and keeps it: umount says that it is busy.
  if (names.length === 0) await execa("umount", [namesDirectory], tolerant);
}

/** The names that begin with `prefix.`, and `prefix` itself. */
export async function listNamespaces(prefix: string): Promise<string[]> {
  const names = await readdir(namesDirectory).catch(() => []);
  return names.filter((name) => name === prefix || name.startsWith(`${prefix}.`));
}

/** The processes whose network namespace this is. */
export async function listProcesses(namespace: string): Promise<number[]> {
  const { stdout } = await execa("ip", ["netns", "pids", namespace], tolerant);
  return stdout
    .split("\n")
    .filter((line) => line !== "")
    .map(Number);
}

function runInside(namespace: string | undefined, command: string[], purpose: string, input = ""): Promise<string> {
  if (namespace === undefined) return runTool(command[0], command.slice(1), purpose, input);
  return runTool("nsenter", [`--net=${namespacePath(namespace)}`, ...command], purpose, input);
}

async function runTool(command: string, options: string[], purpose: string, input = ""): Promise<string> {
  const { stdout } = await execa(command, options, { input, timeout: deadlineMs, env: systemEnvironment }).catch(
    async (cause) => {
      throw new XenoError("network-setup-failed", `${purpose} failed: ${cause.stderr || cause.shortMessage}`, {
        hint: await explain(cause),
        cause,
      });
    },
  );
  return stdout;
}

/** 127 is the shell's. */
async function explain({ code, exitCode }: { code?: string; exitCode?: number }): Promise<string> {
  if (code === "ENOENT" || exitCode === 127) return "install Debian's iproute2, nftables and util-linux";
  if (process.getuid?.() !== 0) return "run as root: network namespaces need it";
  const release = await readFile("/proc/sys/kernel/osrelease", "utf8").catch(() => "this kernel");
  return `see whether ${release.trim()} has veth, bridge, tun and nf_tables`;
}
