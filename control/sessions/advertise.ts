/**
 * What a XenoServer says of itself at the information service, every few minutes and signed: what it has, what it costs now, whom
 * it lets pay, and where it is in the network.
 */
import { XenoError } from "../../cowfs/errors.ts";
import { signAdvertisement, type Tokens } from "../information/advertisement.ts";
import { InformationClient } from "../information/client.ts";
import type { Coordinates } from "../search/coordinates.ts";
import { describeCoordinates } from "../search/offer.ts";
import { describeXenoServer, type XenoServerStatus } from "./describe.ts";
import type { EnvironmentManager } from "./environment-manager.ts";
import { riseAt } from "./prices.ts";

/** An advertisement outlives two that do not come through. */
const validFactor = 3;
const maxValidMs = 24 * 3_600_000;

/** At every node; settles with how many took it. Throws `information-unreachable` where none did. */
export async function advertise(manager: EnvironmentManager, coordinates: Coordinates | undefined): Promise<number> {
  const { configuration, key } = manager.options;
  const { information = [], advertiseSeconds = 120, address } = configuration;
  const tokens = composeTokens(await describeXenoServer(manager), configuration.tokens, coordinates);
  const validMs = Math.min(maxValidMs, validFactor * advertiseSeconds * 1000);
  const text = await signAdvertisement({ address, tokens, at: manager.now(), validMs }, key);
  const told = await Promise.allSettled(information.map((node) => new InformationClient(node).advertise(text)));
  const taken = told.filter(({ status }) => status === "fulfilled").length;
  if (taken > 0 || information.length === 0) return taken;
  const [first] = told;
  throw first?.status === "rejected" ? first.reason : new XenoError("information-unreachable", "no node answers");
}

/** The operator's own tokens add to ours, and do not replace them. */
function composeTokens(status: XenoServerStatus, own: Tokens = {}, coordinates: Coordinates | undefined): Tokens {
  const { environments, corporations, prices, room, load, currency } = status;
  const { session = 0, CPUmsps = 0, MemoryMiB = 0, NetMbps = 0, DiskMiB = 0 } = prices;
  const rise = riseAt(prices.congestion, load);
  return {
    ...own,
    CPUmsps: room.CPUmsps,
    MemoryMiB: room.MemoryMiB,
    Load: Number(load.toFixed(3)),
    EnvType: environments.map(({ type }) => type).slice(0, 32),
    EnvKernel: environments.flatMap(({ kernels }) => kernels).slice(0, 32),
    XenoCorp: corporations.map(({ address }) => address).slice(0, 32),
    Currency: currency,
    PriceSession: session * rise,
    PriceCPUmsps: CPUmsps * rise,
    PriceMemoryMiB: MemoryMiB * rise,
    PriceNetMbps: NetMbps * rise,
    PriceDiskMiB: DiskMiB * rise,
    ...(coordinates === undefined ? {} : describeCoordinates(coordinates)),
  };
}
