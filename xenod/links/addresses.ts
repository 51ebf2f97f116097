/**
 * The addresses of every guest's link: the same on every host, since each link has a network namespace of its own
 * (DESIGN section 5). A guest that migrates keeps its neighbour entries and its mount.
 */
import { isIPv4 } from "node:net";
import { XenoError } from "../../cowfs/errors.ts";

/** The file server's end of a link. */
export const serverAddress = "169.254.1.1";
/** The guest's end of a link. */
export const guestLinkAddress = "169.254.1.2";
export const linkPrefixLength = 30;
/** NFS, MOUNT and the portmapper's answer, all on one port: the only one that a guest reaches on its server. */
export const fileServerPort = 2049;

export const serverMac = "02:78:65:6e:00:01";
export const guestMac = "02:78:65:6e:00:02";
export const tapName = "tap0";

export function checkAddress(address: string, what: string): string {
  if (isIPv4(address)) return address;
  throw new XenoError("address-invalid", `${what}: "${address}" is not an IPv4 address`);
}

/** The part of a guest's kernel command line that init.sh in templates/kernel reads its network from. */
export function describeLink(guestAddress: string | undefined): string {
  const link = `xeno.link=${guestLinkAddress}/${linkPrefixLength} xeno.server=${serverAddress}`;
  return guestAddress === undefined ? link : `${link} xeno.address=${guestAddress}/32 xeno.gateway=${serverAddress}`;
}
