/**
 * XenoServers that share one machine: a switch, a namespace for each of them and one for their client, all with names
 * of one prefix, so that several such networks do not meet.
 *
 *     10.77.0.1        the client        10.77.0.(10+n)   XenoServer n        10.77.n.0/24   its guests
 *
 * The addresses live inside the namespaces only. The host reaches a guest through `forwardPorts`.
 */
import { XenoError } from "../../cowfs/errors.ts";
import { removeHostUplink } from "../../xenod/links/host-uplink.ts";
import { joinNames, listNamespaces } from "../../xenod/links/namespaces.ts";
import { sweepLinks } from "../../xenod/links/sweep.ts";
import { createSwitch, joinSwitch, leaveSwitch } from "../../xenod/links/switch.ts";

/** Pools are 10.77.1.0/24 to 10.77.200.0/24. */
export const maxLocalServers = 200;
const clientName = "client";
const switchName = "switch";

export interface LocalServer {
  readonly name: string;
  /** From 1. */
  readonly number: number;
}

export interface ServerNetwork {
  readonly namespace: string;
  readonly addressPool: string;
}

export interface JoinedServer extends ServerNetwork {
  /** Its own, towards the others. */
  readonly address: string;
}

/** Makes the namespace of a XenoServer, or finds it made. */
export async function joinServer(prefix: string, { name, number }: LocalServer): Promise<JoinedServer> {
  if (!Number.isInteger(number) || number < 1 || number > maxLocalServers)
    throw new XenoError("number-invalid", `XenoServers of one machine have numbers from 1 to ${maxLocalServers}`);
  if (name === clientName || name === switchName)
    throw new XenoError("name-taken", `a XenoServer cannot be called ${name}`, { hint: "Choose another --name." });
  const { address, addressPool } = placeServer(number);
  await createSwitch(prefix);
  const namespace = await joinSwitch({ prefix, name, address, forwards: true, routes: [] });
  return { namespace, address, addressPool };
}

/** Makes the client's namespace, from which every guest is reached, or finds it made; returns its name. */
export async function joinClient(prefix: string): Promise<string> {
  await createSwitch(prefix);
  const routes = Array.from({ length: maxLocalServers }, (_, index) => {
    const { address, addressPool } = placeServer(index + 1);
    return { pool: addressPool, via: address };
  });
  return await joinSwitch({ prefix, name: clientName, address: "10.77.0.1", forwards: false, routes });
}

/** Removes the namespace of a XenoServer that has no guests; with the last of them the client and the switch go too. */
export async function leaveNetwork(prefix: string, name: string): Promise<void> {
  await removeHostUplink({ prefix, server: name });
  await leaveSwitch(prefix, name);
  const shared = [joinNames(prefix, clientName), joinNames(prefix, switchName)];
  const left = await listNamespaces(prefix);
  if (left.every((namespace) => shared.includes(namespace))) await sweepLinks(prefix);
}

function placeServer(number: number): { address: string; addressPool: string } {
  return { address: `10.77.0.${10 + number}`, addressPool: `10.77.${number}.0/24` };
}
