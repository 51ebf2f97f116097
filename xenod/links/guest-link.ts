/**
 * A guest's link: a network namespace that holds the tap device of one guest and a routed way out.
 *
 *     guest  eth0 169.254.1.2/30 (+ its routable address)
 *       |
 *     link namespace   tap0 169.254.1.1/30   the file server listens here
 *                      up0                   no address: plain routing
 *       |
 *     XenoServer's namespace   d…            route to the guest's address
 *
 * The namespace is the guest's identity: what arrives on its tap0 is from this guest and no other. Where the hypervisor brings a
 * device of its own (Xen's vif, a new one after each reset), tap0 is a bridge whose only port that is: all else stays.
 *
 * Invariants: (L1) nothing enters by tap0 but frames of the guest's MAC with one of its addresses as source; (L2) the guest
 * reaches nothing of its XenoServer but the file server's port on the link's address; (L3) nothing but the guest's routable
 * address is forwarded, and not to link-local addresses (a cloud's metadata services among them).
 */
import { createHash } from "node:crypto";
import {
  checkAddress,
  fileServerPort,
  guestLinkAddress,
  guestMac,
  linkPrefixLength,
  serverAddress,
  serverMac,
  tapName,
} from "./addresses.ts";
import { createNamespace, deleteNamespace, joinNames, limitRate, listNamespaces } from "./namespaces.ts";

import { type PortsOwner, type PublishedPort, publishPorts, unpublishPorts } from "./published-ports.ts";

export interface LinkSpecification {
  readonly prefix: string;
  readonly server: string;
  readonly domain: string;
  /** From the operator's pool. Without one the guest reaches its file server only. */
  readonly address?: string;
  readonly ports?: readonly PublishedPort[];
  /** Ports are published on the host's own addresses, not on those of the XenoServer's namespace: see host-uplink.ts. */
  readonly isOnHost?: boolean;
  /** What the guest believes that address to be: it was resumed here, where its own is another's. The link translates. */
  readonly guestAddress?: string;
  /** What tap0 is: see `HypervisorFeatures.link`. Default: a tap device. */
  readonly kind?: "tap" | "bridge";
  /** The most that the guest sends, and the most that it receives, beside its root. Default: what there is. */
  readonly peakKbitPerSecond?: number;
}

/** What a hypervisor needs of a link. */
export interface GuestLink {
  readonly namespace: string;
  readonly tap: string;
  readonly mac: string;
}

/** The two ends of the uplink: no one asks for these MACs, they are told. */
const uplinkMac = { inner: "02:78:65:6e:01:02", outer: "02:78:65:6e:01:01" };
/** Next hops on the uplink; they exist in the neighbour tables only. */
const uplinkHop = { inner: "169.254.2.2", outer: "169.254.2.1" };

/** Makes the link, or finds it made. The XenoServer's namespace exists (switch.ts). */
export async function createLink(specification: LinkSpecification): Promise<GuestLink> {
  const { prefix, server, domain, kind = "tap" } = specification;
  const address = specification.address && checkAddress(specification.address, `the address of ${domain}`);
  const inside = specification.guestAddress && checkAddress(specification.guestAddress, `the old address of ${domain}`);
  const own = address && (inside ?? address);
  const namespace = nameLink(specification);
  const outside = joinNames(prefix, server);
  const uplink = nameUplink(domain);
  await createNamespace(namespace, {
    settings: [
      "net/ipv6/conf/all/disable_ipv6=1",
      "net/ipv6/conf/default/disable_ipv6=1",
      `net/ipv4/ip_forward=${address ? 1 : 0}`,
      "net/ipv4/conf/all/rp_filter=1",
      "net/ipv4/conf/default/rp_filter=1",
      "net/ipv4/conf/all/accept_redirects=0",
      "net/ipv4/conf/all/send_redirects=0",
    ],
    devices: [
      kind === "tap"
        ? `tuntap add dev ${tapName} mode tap vnet_hdr`
        : `link add ${tapName} type bridge stp_state 0 forward_delay 0`,
      `link set ${tapName} address ${serverMac} txqueuelen 1000 up`,
      `addr add ${serverAddress}/${linkPrefixLength} dev ${tapName}`,
      `neigh replace ${guestLinkAddress} lladdr ${guestMac} dev ${tapName} nud permanent`,
      ...(address
        ? [
            `link add up0 address ${uplinkMac.inner} type veth peer name ${uplink} address ${uplinkMac.outer} netns ${outside}`,
            "link set up0 up",
            `route add ${own}/32 dev ${tapName}`,
            `neigh replace ${own} lladdr ${guestMac} dev ${tapName} nud permanent`,
            `neigh replace ${uplinkHop.outer} lladdr ${uplinkMac.outer} dev up0 nud permanent`,
            `route add default via ${uplinkHop.outer} dev up0 onlink`,
          ]
        : []),
    ],
    rules: writeRules(address, own),
    outerEnds: [{ namespace: outside, device: uplink }],
    outside: address
      ? {
          namespace: outside,
          devices: [
            `link set ${uplink} up`,
            `neigh replace ${uplinkHop.inner} lladdr ${uplinkMac.inner} dev ${uplink} nud permanent`,
            `route replace ${address}/32 via ${uplinkHop.inner} dev ${uplink} onlink`,
          ],
        }
      : undefined,
  });
  const { ports = [] } = specification;
  if (address && ports.length > 0) await publishPorts(ownerOfPorts(specification), address, ports);
  if (specification.peakKbitPerSecond !== undefined) await limitLink(specification);
  return { namespace, tap: tapName, mac: guestMac };
}

/** Holds a link to its rate from now on, or lets it go. */
export async function limitLink(specification: LinkSpecification): Promise<void> {
  const { prefix, server, domain, address, peakKbitPerSecond } = specification;
  if (address === undefined) return;
  await limitRate({ namespace: nameLink(specification), device: "up0" }, peakKbitPerSecond);
  await limitRate({ namespace: joinNames(prefix, server), device: nameUplink(domain) }, peakKbitPerSecond);
}

/** Removes the link. End the guest and what listens on it first. Missing is fine. */
export async function deleteLink(link: LinkName): Promise<void> {
  await unpublishPorts(ownerOfPorts(link));
  const uplink = { namespace: joinNames(link.prefix, link.server), device: nameUplink(link.domain) };
  await deleteNamespace(nameLink(link), [uplink]);
}

type LinkName = Pick<LinkSpecification, "prefix" | "server" | "domain" | "isOnHost">;

function ownerOfPorts({ prefix, server, domain, isOnHost }: LinkName): PortsOwner {
  return { prefix, server, domain, namespace: isOnHost ? undefined : joinNames(prefix, server) };
}

/** The domains of a XenoServer that have a link. */
export async function listLinks(prefix: string, server: string): Promise<string[]> {
  const outside = joinNames(prefix, server);
  const names = await listNamespaces(outside);
  return names.filter((name) => name !== outside).map((name) => name.slice(outside.length + 1));
}

export function nameLink(link: Pick<LinkSpecification, "prefix" | "server" | "domain">): string {
  return joinNames(link.prefix, link.server, link.domain);
}

/** Device names have 15 bytes. */
function nameUplink(domain: string): string {
  return `d${createHash("sha256").update(domain).digest("hex").slice(0, 12)}`;
}

/** `own`: the guest's address as it knows it. */
function writeRules(address: string | undefined, own: string | undefined): string {
  const sources = own ? `{ ${guestLinkAddress}, ${own} }` : guestLinkAddress;
  const forwarded = address
    ? `ip daddr { 169.254.0.0/16, 127.0.0.0/8, 224.0.0.0/3 } drop
    iifname "${tapName}" oifname "up0" ip saddr ${own} accept
    iifname "up0" oifname "${tapName}" ip daddr ${own} accept`
    : "";
  const translation =
    own === address
      ? ""
      : `
table ip translation {
  chain in {
    type nat hook prerouting priority dstnat; policy accept;
    iifname "up0" ip daddr ${address} dnat to ${own}
  }
  chain out {
    type nat hook postrouting priority srcnat; policy accept;
    oifname "up0" ip saddr ${own} snat to ${address}
  }
}`;
  return `
table netdev guest {
  chain from_guest {
    type filter hook ingress device ${tapName} priority 0; policy drop;
    ether saddr ${guestMac} ip saddr ${sources} accept
    ether saddr ${guestMac} arp saddr ether ${guestMac} arp saddr ip ${sources} accept
  }
}
table ip guest {
  chain input {
    type filter hook input priority filter; policy drop;
    iifname "lo" accept
    iifname "${tapName}" ip saddr ${guestLinkAddress} ip daddr ${serverAddress} tcp dport ${fileServerPort} accept
  }
  chain forward {
    type filter hook forward priority filter; policy drop;
    ${forwarded}
  }
}${translation}
`;
}
