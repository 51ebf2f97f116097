/**
 * Published ports: a port of an address of the XenoServer leads to a port of a guest. The kernel translates (nftables), so that
 * nothing of it runs, nothing ends with Xenod, and the guest sees who asks.
 *
 * Each guest's are one table, replaced as a whole; its name is made of the XenoServer's and the guest's, so that what is left
 * over is found. A port counts on every address that the namespace has; 127.0.0.1 is none of them.
 */
import { createHash } from "node:crypto";
import { execa } from "execa";
import { systemEnvironment } from "../system-path.ts";
import { checkAddress } from "./addresses.ts";
import { applyRules, namespacePath } from "./namespaces.ts";

export interface PublishedPort {
  readonly published: number;
  readonly guest: number;
  readonly protocol?: "tcp" | "udp";
}

/** Where they are published. */
export interface PortsOwner {
  readonly prefix: string;
  readonly server: string;
  readonly domain: string;
  /** Undefined: the host's own. */
  readonly namespace: string | undefined;
}

/** Replaces what the guest has published. The ports are checked: no two guests publish the same. */
export async function publishPorts(owner: PortsOwner, address: string, ports: readonly PublishedPort[]): Promise<void> {
  const table = nameTable(owner);
  const to = checkAddress(address, `the address of ${owner.domain}`);
  const rules = ports.map(
    ({ published, guest, protocol = "tcp" }) =>
      `fib daddr type local ${protocol} dport ${published} dnat to ${to}:${guest}`,
  );
  // The second is for who asks from the XenoServer itself. -100 is `dstnat`, which nft knows for prerouting only.
  const chain = (hook: string) => `chain ${hook} {
    type nat hook ${hook} priority -100;
    ${rules.join("\n    ")}
  }`;
  const script = `table ip ${table}\ndelete table ip ${table}\ntable ip ${table} {\n${["prerouting", "output"].map(chain).join("\n")}\n}\n`;
  await applyRules(owner.namespace, script);
}

/** Missing is fine. */
export async function unpublishPorts(owner: PortsOwner): Promise<void> {
  await runNft(owner.namespace, ["delete", "table", "ip", nameTable(owner)]);
}

/** Removes the tables of a XenoServer's guests but for those named. */
export async function sweepPublishedPorts(
  { prefix, server, namespace }: Omit<PortsOwner, "domain">,
  domains: readonly string[],
): Promise<void> {
  const kept = new Set(domains.map((domain) => nameTable({ prefix, server, domain, namespace })));
  const stem = nameStem(prefix, server);
  const { stdout } = await runNft(namespace, ["list", "tables", "ip"]);
  const names = stdout.split("\n").map((line) => line.replace("table ip ", "").trim());
  for (const name of names)
    if (name.startsWith(stem) && !kept.has(name)) await runNft(namespace, ["delete", "table", "ip", name]);
}

function runNft(namespace: string | undefined, words: readonly string[]) {
  const inside = namespace === undefined ? [] : ["nsenter", `--net=${namespacePath(namespace)}`];
  const [command, ...options] = [...inside, "nft", ...words];
  return execa(command, options, { reject: false, stdin: "ignore", env: systemEnvironment });
}

function nameTable({ prefix, server, domain }: PortsOwner): string {
  return `${nameStem(prefix, server)}${hash(domain)}`;
}

function nameStem(prefix: string, server: string): string {
  return `xeno_${hash(`${prefix}.${server}`)}_`;
}

function hash(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 12);
}
