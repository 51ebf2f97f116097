/**
 * A switch on this machine: a namespace that holds a bridge, and namespaces that are joined to it by veth pairs.
 *
 * It stands for the network between XenoServers and their clients where all of them run on one machine (`npm start`, the
 * tests). Both ends of each pair are made inside namespaces: the host's own is not touched.
 */
import { createHash } from "node:crypto";
import { checkAddress } from "./addresses.ts";
import { createNamespace, deleteNamespace, joinNames } from "./namespaces.ts";

export interface Member {
  /** Begins the names of everything that one instance makes: see sweep.ts. */
  readonly prefix: string;
  readonly name: string;
  /** On the switch, as 10.77.0.1. */
  readonly address: string;
  /** A XenoServer forwards for its guests; a client does not. */
  readonly forwards: boolean;
  /** How to reach what lies behind other members: their guests' pools. */
  readonly routes: readonly { readonly pool: string; readonly via: string }[];
}

/** The switch's network is a /24. */
const switchPrefixLength = 24;

/** Makes the switch, or finds it made; returns its namespace. */
export async function createSwitch(prefix: string): Promise<string> {
  const namespace = joinNames(prefix, "switch");
  await createNamespace(namespace, {
    settings: ["net/ipv6/conf/all/disable_ipv6=1", "net/ipv6/conf/default/disable_ipv6=1"],
    devices: ["link add br0 type bridge stp_state 0 forward_delay 0", "link set br0 up"],
  });
  return namespace;
}

/** Makes a namespace with an `eth0` on the switch, or finds it made; returns its name. The switch exists. */
export async function joinSwitch(member: Member): Promise<string> {
  const { prefix, name, forwards, routes } = member;
  const address = checkAddress(member.address, `the address of ${name}`);
  const namespace = joinNames(prefix, name);
  const hub = joinNames(prefix, "switch");
  const port = namePort(name);
  await createNamespace(namespace, {
    settings: [
      "net/ipv6/conf/all/disable_ipv6=1",
      "net/ipv6/conf/default/disable_ipv6=1",
      `net/ipv4/ip_forward=${forwards ? 1 : 0}`,
      "net/ipv4/conf/all/rp_filter=1",
      "net/ipv4/conf/default/rp_filter=1",
    ],
    devices: [
      `link add eth0 type veth peer name ${port} netns ${hub}`,
      `addr add ${address}/${switchPrefixLength} dev eth0`,
      "link set eth0 up",
      ...routes.map(({ pool, via }) => `route add ${pool} via ${checkAddress(via, "the next hop")}`),
    ],
    rules: memberRules,
    outerEnds: [{ namespace: hub, device: port }],
    outside: { namespace: hub, devices: [`link set ${port} master br0 up`] },
  });
  return namespace;
}

/** Removes the member and its port. Missing is fine. */
export async function leaveSwitch(prefix: string, name: string): Promise<void> {
  await deleteNamespace(joinNames(prefix, name), [{ namespace: joinNames(prefix, "switch"), device: namePort(name) }]);
}

/** Device names have 15 bytes. */
function namePort(name: string): string {
  return `p${createHash("sha256").update(name).digest("hex").slice(0, 12)}`;
}

/** What comes over a guest's uplink (guest-link.ts names them d…) may pass through a XenoServer but not talk to it. */
const memberRules = `
table ip member {
  chain input {
    type filter hook input priority filter; policy accept;
    iifname "d*" drop
  }
}
`;
