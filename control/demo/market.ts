/**
 * A small market in this process: two XenoCorps, a node of the information service, and what sells each XenoServer's sessions. It is
 * made anew each time, and gone with the program; machines and guests are others'.
 */
import { join } from "node:path";
import { createKey } from "../../xenostore/keys/key-ring.ts";
import { createCorporationApi } from "../corporation/api.ts";
import { Corporation } from "../corporation/corporation.ts";
import { createInformationApi } from "../information/api.ts";
import { InformationNode } from "../information/node.ts";
import { choosePort } from "../network/choose-port.ts";
import { addSearchRoute } from "../search/api.ts";
import { createSessionsApi } from "../sessions/api.ts";
import type { SessionsConfiguration } from "../sessions/configuration.ts";
import { EnvironmentManager } from "../sessions/environment-manager.ts";
import type { Machine } from "../sessions/machines.ts";
import { runManager } from "../sessions/run-manager.ts";

export interface MarketStart {
  /** An empty directory. */
  readonly stateDirectory: string;
  readonly sellers: readonly SellerStart[];
  readonly chargeSeconds: number;
  /** The kernel's URL by its version, for the environment `Linux`. */
  readonly kernels: Readonly<Record<string, string>>;
  /** Takes everything down again. */
  readonly cleanup: AsyncDisposableStack;
  log(who: string, what: string): void;
}

export interface SellerStart {
  readonly machine: Machine;
  /** Which XenoCorps it accepts: 0, 1 or both. */
  readonly accepts: readonly number[];
  readonly prices: SessionsConfiguration["prices"];
}

export interface Market {
  readonly corporations: readonly Corporation[];
  /** The address of the information service's node. */
  readonly information: string;
  readonly sellers: readonly EnvironmentManager[];
}

const corporationNames = ["north", "south"];
const currency = "EUR";
const settlementMs = 24 * 3_600_000;
const graceSeconds = 3_600;

export async function startMarket(start: MarketStart): Promise<Market> {
  const { stateDirectory, cleanup, log } = start;
  const keys = join(stateDirectory, "keys");
  const corporations: Corporation[] = [];
  for (const name of corporationNames) {
    const address = await chooseAddress();
    const corporation = await Corporation.open({
      ...{ name: address, key: await createKey(keys, name), currency, showsNames: false, settlementMs },
      databaseFile: join(stateDirectory, `${name}.sqlite`),
    });
    cleanup.defer(() => corporation.end());
    const api = createCorporationApi(corporation, (error) => log(name, `a defect: ${error}`));
    await api.listen(hostAndPort(address));
    cleanup.defer(() => api.close());
    log(name, `XenoCorp at ${address}`);
    corporations.push(corporation);
  }
  const node = new InformationNode({ peers: [], intervalMs: 10_000, log: (text) => log("node", text) });
  node.start();
  cleanup.defer(() => node.end());
  const nodeApi = createInformationApi(node, (error) => log("node", `a defect: ${error}`));
  addSearchRoute(nodeApi, node);
  cleanup.defer(() => nodeApi.close());
  const information = await nodeApi.listen({ host: "127.0.0.1", port: 0 });
  log("node", `information service at ${information}`);

  const addresses = await Promise.all(start.sellers.map(chooseAddress));
  const sellers: EnvironmentManager[] = [];
  for (const [index, { machine, accepts, prices }] of start.sellers.entries()) {
    const { name } = machine;
    const configuration: SessionsConfiguration = {
      ...{ name, address: addresses[index]!, listen: "", key: name, servers: [name], currency, prices, graceSeconds },
      corporations: accepts.map((number) => ({ address: corporations[number]!.options.name })),
      environments: [{ type: "Linux", kernels: { ...start.kernels } }],
      ...{ chargeSeconds: start.chargeSeconds, information: [information], advertiseSeconds: 30, peers: addresses },
    };
    const manager = await EnvironmentManager.open({
      ...{ configuration, key: await createKey(keys, name), machines: [machine] },
      stateDirectory: join(stateDirectory, "selling", name),
      log: (text) => log(name, text),
    });
    await serveSessions(manager, cleanup, log);
    sellers.push(manager);
  }
  return { corporations, information, sellers };
}

async function serveSessions(
  manager: EnvironmentManager,
  cleanup: AsyncDisposableStack,
  log: MarketStart["log"],
): Promise<void> {
  const { name, address } = manager.options.configuration;
  const api = createSessionsApi(manager, (error) => log(name, `a defect: ${error}`));
  await api.listen(hostAndPort(address));
  const ending = new AbortController();
  const running = runManager(manager, ending.signal);
  cleanup.defer(async () => {
    ending.abort();
    await api.close();
    await running;
  });
}

/** Of this host, for who must know its address before it listens. */
async function chooseAddress(): Promise<string> {
  return `http://127.0.0.1:${await choosePort()}`;
}

function hostAndPort(address: string): { host: string; port: number } {
  const { hostname, port } = new URL(address);
  return { host: hostname, port: Number(port) };
}
