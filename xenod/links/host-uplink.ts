/**
 * A XenoServer's way to the host's own network, where the operator asks for one: a veth pair between its namespace and the host's,
 * and a route to its guests' addresses.
 *
 *     guests - XenoServer's namespace   x0          default route
 *                                        |
 *              the host's namespace     x<hash>     route to the pool; forwards from and to `device` only
 *
 * Of the host's own it makes one device, one route, one nftables table, and lets `device` and the pair forward: `removeHostUplink`
 * takes back the first three.
 *
 * Invariants: (U1) guests reach nothing of the host itself; (U2) what leaves has an address of the pool as source; (U3) guests
 * begin connections to the world only where `egress` says so, and never to `refused`: link-local (a cloud's metadata service),
 * loopback and private addresses, but for what the operator allows.
 */
import { createHash } from "node:crypto";
import { execa } from "execa";
import { XenoError } from "../../cowfs/errors.ts";
import { systemEnvironment } from "../system-path.ts";
import { applyRules, applySettings, configureDevices, joinNames } from "./namespaces.ts";

export interface HostUplink {
  readonly prefix: string;
  readonly server: string;
  /** The guests' addresses, as 203.0.113.0/28. */
  readonly pool: string;
  /** The host's device to the world. */
  readonly device: string;
  /**
   * `none`: guests are reached, and begin nothing. `routed`: their addresses are routed to this host by the network. `masquerade`:
   * they show the host's address.
   */
  readonly egress: "none" | "routed" | "masquerade";
  /** What of the private addresses guests may reach all the same, as 10.1.2.0/24. */
  readonly allow?: readonly string[];
}

const refused =
  "{ 0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12, 192.168.0.0/16, 224.0.0.0/3 }";
/** No one asks for these MACs or next hops: they are told. */
const mac = { inner: "02:78:65:6e:02:02", outer: "02:78:65:6e:02:01" };
const hop = { inner: "169.254.3.2", outer: "169.254.3.1" };
/** For commands whose failure is an answer. */
const tolerant = { reject: false, env: systemEnvironment, stdin: "ignore" } as const;
const innerDevice = "x0";
const devicePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,14}$/;
const networkPattern = /^\d{1,3}(\.\d{1,3}){3}\/\d{1,2}$/;

/** Makes it, or makes it as it is asked for now. The XenoServer's namespace exists. */
export async function createHostUplink(uplink: HostUplink): Promise<void> {
  const { prefix, server, pool, device } = uplink;
  const namespace = joinNames(prefix, server);
  const outer = nameDevice(uplink);
  if (!devicePattern.test(device))
    throw new XenoError("uplink-invalid", `"${device}" cannot be a network device`, { hint: "ip link shows them" });
  for (const network of [pool, ...(uplink.allow ?? [])])
    if (!networkPattern.test(network))
      throw new XenoError("uplink-invalid", `"${network}" is no IPv4 network`, { hint: "as 10.1.2.0/24" });
  const isThere = (await hasDevice([], outer)) && (await hasDevice(["-n", namespace], innerDevice));
  if (!isThere) {
    // One end alone is left for a moment where the namespace was made anew.
    await execa("ip", ["link", "delete", outer], tolerant);
    await configureDevices(namespace, [
      `link add ${innerDevice} address ${mac.inner} type veth peer name ${outer} address ${mac.outer} netns ${process.pid}`,
    ]);
  }
  await configureDevices(namespace, [
    `link set ${innerDevice} up`,
    `neigh replace ${hop.outer} lladdr ${mac.outer} dev ${innerDevice} nud permanent`,
    `route replace default via ${hop.outer} dev ${innerDevice} onlink`,
  ]);
  // The rules first: nothing is forwarded that they would not let pass.
  await applyRules(undefined, writeRules(uplink, outer));
  await configureDevices(undefined, [
    `link set ${outer} up`,
    `neigh replace ${hop.inner} lladdr ${mac.inner} dev ${outer} nud permanent`,
    `route replace ${pool} via ${hop.inner} dev ${outer} onlink`,
  ]);
  await applySettings(undefined, [`net/ipv4/conf/${outer}/forwarding=1`, `net/ipv4/conf/${device}/forwarding=1`]);
}

/** Missing is fine. */
export async function removeHostUplink(uplink: Pick<HostUplink, "prefix" | "server">): Promise<void> {
  await execa("ip", ["link", "delete", nameDevice(uplink)], tolerant);
  await execa("nft", ["delete", "table", "ip", nameTable(uplink)], tolerant);
}

async function hasDevice(where: readonly string[], device: string): Promise<boolean> {
  return !(await execa("ip", [...where, "link", "show", device], tolerant)).failed;
}

function writeRules(uplink: HostUplink, outer: string): string {
  const { pool, device, egress, allow = [] } = uplink;
  const table = nameTable(uplink);
  const allowed = allow.length === 0 ? "" : `ip daddr { ${allow.join(", ")} } accept`;
  const begun = egress === "none" ? "" : `${allowed}\n    ip daddr ${refused} drop\n    oifname "${device}" accept`;
  const masquerade =
    egress === "masquerade"
      ? `chain leave {
    type nat hook postrouting priority srcnat;
    ip saddr ${pool} oifname "${device}" masquerade
  }`
      : "";
  return `
table ip ${table}
delete table ip ${table}
table ip ${table} {
  chain host {
    type filter hook input priority filter; policy accept;
    iifname "${outer}" ct state established,related accept
    iifname "${outer}" drop
  }
  chain pass {
    type filter hook forward priority filter; policy accept;
    iifname "${outer}" jump from_guests
    oifname "${outer}" jump to_guests
  }
  chain from_guests {
    ip saddr != ${pool} drop
    ct state established,related accept
    ${begun}
    drop
  }
  chain to_guests {
    ip daddr != ${pool} drop
    ct state established,related accept
    iifname "${device}" accept
    drop
  }
  ${masquerade}
}
`;
}

function nameDevice({ prefix, server }: Pick<HostUplink, "prefix" | "server">): string {
  return `x${hash(prefix, server)}`;
}

function nameTable({ prefix, server }: Pick<HostUplink, "prefix" | "server">): string {
  return `xeno_uplink_${hash(prefix, server)}`;
}

function hash(prefix: string, server: string): string {
  return createHash("sha256").update(joinNames(prefix, server)).digest("hex").slice(0, 12);
}
