/** The network of a XenoServer whose guests are on the host's own, by the operator's word: a namespace, and its way to the host. */
import { createHostUplink } from "../../xenod/links/host-uplink.ts";
import { createNamespace, joinNames } from "../../xenod/links/namespaces.ts";
import type { GuestNetwork } from "../server/configuration.ts";

/** Makes it, or finds it made; returns the namespace. */
export async function joinHost(prefix: string, server: string, guests: GuestNetwork): Promise<string> {
  const namespace = joinNames(prefix, server);
  await createNamespace(namespace, {
    settings: [
      "net/ipv6/conf/all/disable_ipv6=1",
      "net/ipv6/conf/default/disable_ipv6=1",
      "net/ipv4/ip_forward=1",
      "net/ipv4/conf/all/rp_filter=1",
      "net/ipv4/conf/default/rp_filter=1",
    ],
    devices: [],
    // It has no address that anyone could talk to; what passes is forwarded.
    rules: memberRules,
  });
  const { addresses: pool, device, egress = "none", allow } = guests;
  await createHostUplink({ prefix, server, pool, device, egress, allow });
  return namespace;
}

const memberRules = `
table ip member {
  chain input {
    type filter hook input priority filter; policy drop;
    iifname "lo" accept
  }
}
`;
