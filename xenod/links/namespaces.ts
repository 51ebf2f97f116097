/**
 * Network namespaces by name (ip-netns(8)): made, configured and removed by iproute2, nftables and nsenter.
 *
 * A namespace counts as made only when its configuration is complete: the last step writes a digest of what was asked for
 * to the loopback device's alias. So whoever is killed half-way leaves something that the next try tells from a finished
 * one, and makes anew; a finished one is left alone, with the guest that may run on it.
 */
import { createHash } from "node:crypto";
import { readdir, readFile, rm } from "node:fs/promises";
import path from "node:path";
import { execa } from "execa";
import { XenoError } from "../../cowfs/errors.ts";
import { systemEnvironment } from "../system-path.ts";

/** For commands whose failure is an answer. */
const tolerant = { reject: false, stdin: "ignore", env: systemEnvironment } as const;

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
  return `/run/netns/${namespace}`;
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
}

/** Makes a namespace, or finds it made. Anything else of that name is removed first. */
export async function createNamespace(namespace: string, configuration: NamespaceConfiguration): Promise<void> {
  const digest = `xeno:${createHash("sha256").update(JSON.stringify(configuration)).digest("hex").slice(0, 32)}`;
  if ((await readAlias(namespace)) === digest) return;
  await deleteNamespace(namespace, configuration.outerEnds);
  await runTool("ip", ["netns", "add", namespace], `making the network namespace ${namespace}`);
  try {
    await applySettings(namespace, configuration.settings);
    await configureDevices(namespace, configuration.devices);
    if (configuration.rules !== undefined) await applyRules(namespace, configuration.rules);
    await configureDevices(namespace, ["link set lo up", `link set lo alias ${digest}`]);
  } catch (error) {
    await deleteNamespace(namespace, configuration.outerEnds);
    throw error;
  }
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
  for (const end of outerEnds) {
    const options = ["-n", end.namespace, "link", "delete", end.device];
    await execa("ip", options, tolerant);
  }
  const { failed } = await execa("ip", ["netns", "delete", namespace], tolerant);
  // Killed between making the file and mounting on it, `ip netns add` leaves one that `delete` does not take.
  if (failed) await rm(namespacePath(namespace), { force: true });
  await dropEmptyMount();
}

/** `ip netns add` mounts the directory of names over itself; the last name that goes takes that along. */
async function dropEmptyMount(): Promise<void> {
  const directory = path.dirname(namespacePath("any"));
  const names = await readdir(directory).catch(() => ["?"]);
  // A name that comes in this moment is a mount below it, and keeps it: umount says that it is busy.
  if (names.length === 0) await execa("umount", [directory], tolerant);
}

/** The names that begin with `prefix.`, and `prefix` itself. */
export async function listNamespaces(prefix: string): Promise<string[]> {
  const stdout = await runTool("ip", ["-j", "netns", "list"], "listing network namespaces");
  const names = (stdout === "" ? [] : (JSON.parse(stdout) as { name: string }[])).map(({ name }) => name);
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

async function readAlias(namespace: string): Promise<string | undefined> {
  const { stdout, failed } = await execa("ip", ["-n", namespace, "-j", "link", "show", "lo"], {
    reject: false,
    stdin: "ignore",
  });
  if (failed) return undefined;
  return (JSON.parse(stdout) as { ifalias?: string }[])[0]?.ifalias;
}

function runInside(namespace: string | undefined, command: string[], purpose: string, input = ""): Promise<string> {
  if (namespace === undefined) return runTool(command[0], command.slice(1), purpose, input);
  return runTool("nsenter", [`--net=${namespacePath(namespace)}`, ...command], purpose, input);
}

async function runTool(command: string, options: string[], purpose: string, input = ""): Promise<string> {
  const { stdout } = await execa(command, options, { input, timeout: 20_000, env: systemEnvironment }).catch(
    async (cause) => {
      throw new XenoError("network-setup-failed", `${purpose} failed: ${cause.stderr || cause.shortMessage}`, {
        hint: await explain(cause.code),
        cause,
      });
    },
  );
  return stdout;
}

async function explain(code: string | undefined): Promise<string> {
  if (code === "ENOENT") return "install Debian's iproute2, nftables and util-linux";
  if (process.getuid?.() !== 0) return "run as root: network namespaces need it";
  const release = await readFile("/proc/sys/kernel/osrelease", "utf8").catch(() => "this kernel");
  return `see whether ${release.trim()} has veth, bridge, tun and nf_tables`;
}
