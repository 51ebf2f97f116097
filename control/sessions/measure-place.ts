/**
 * Where this XenoServer is in the network (Vivaldi, ../search/coordinates.ts): it asks a few other XenoServers that are advertised for
 * an answer, and moves by how long that took.
 *
 * Addresses in advertisements are anybody's word. Only public ones are called, unless the operator names them as `peers`; a name
 * is resolved once, and what was found is what is called.
 */
import { lookup } from "node:dns/promises";
import { connect } from "node:net";
import { isPublicAddress } from "../../templates/layers/live-policy.ts";
import { InformationClient } from "../information/client.ts";
import { type Coordinates, moveBy, unknownCoordinates } from "../search/coordinates.ts";
import { readOffer } from "../search/offer.ts";

export interface PlaceMeasuring {
  /** Nodes of the information service. */
  readonly information: readonly string[];
  /** Of this XenoServer: it does not measure itself. */
  readonly server: string;
  /** Addresses that may be called though they are not public. */
  readonly peers: readonly string[];
}

const measuredAtOnce = 4;
const probes = 3;
const probeMs = 3_000;

/** Measures a few of those that there are, chosen at random. Undefined where none could be measured yet. */
export async function measurePlace(
  own: Coordinates | undefined,
  { information, server, peers }: PlaceMeasuring,
): Promise<Coordinates | undefined> {
  let place = own;
  for (const { address, coordinates } of await choosePeers(information, server)) {
    const roundTripMs = await measureRoundTrip(address, peers).catch(() => undefined);
    if (roundTripMs === undefined) continue;
    place = moveBy(place ?? unknownCoordinates, coordinates ?? unknownCoordinates, roundTripMs);
  }
  return place;
}

async function choosePeers(information: readonly string[], server: string) {
  for (const node of information) {
    const client = new InformationClient(node);
    try {
      const others = await listOthers(client, server);
      const chosen = others.sort(() => Math.random() - 0.5).slice(0, measuredAtOnce);
      return (await Promise.all(chosen.map((other) => client.find(other).catch(() => undefined))))
        .filter((advertisement) => advertisement !== undefined)
        .map((advertisement) => readOffer(advertisement));
    } catch {}
  }
  return [];
}

/** From a random place in the order of memory, so that nobody is asked by everybody; where nobody has so much, from its begin. */
async function listOthers(client: InformationClient, server: string): Promise<string[]> {
  for (const from of [Math.random() * 65_536, 0]) {
    const { entries } = await client.lookup({ token: "MemoryMiB", from, limit: 100 });
    const others = entries.map((entry) => entry.server).filter((other) => other !== server);
    if (others.length > 0) return others;
  }
  return [];
}

/** The shortest of some connections' set-up: one round trip each, whatever the other does then. Throws where it may not be called. */
export async function measureRoundTrip(address: string, peers: readonly string[]): Promise<number> {
  const url = new URL(address);
  const port = Number(url.port) || (url.protocol === "https:" ? 443 : 80);
  const { address: host } = await lookup(url.hostname.replace(/^\[(.*)\]$/, "$1"));
  if (!isPublicAddress(host) && !peers.includes(address)) throw new Error(`${host} is not public`);
  let shortest = Number.POSITIVE_INFINITY;
  for (let probe = 0; probe < probes; probe++) shortest = Math.min(shortest, await timeConnection(host, port));
  return shortest;
}

function timeConnection(host: string, port: number): Promise<number> {
  const started = performance.now();
  const socket = connect({ host, port, timeout: probeMs });
  return new Promise<number>((resolve, reject) => {
    socket.once("connect", () => resolve(performance.now() - started));
    socket.once("timeout", () => reject(new Error("no answer in time")));
    socket.once("error", reject);
  }).finally(() => socket.destroy());
}
