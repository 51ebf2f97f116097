/** A XenoServer that sells sessions on a machine, its XenoCorp, and clients; in the test's own process. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import type { AskedOrder } from "../../../control/corporation/corporation.ts";
import type { PolicyName } from "../../../control/corporation/policies/policies.ts";
import { choosePort } from "../../../control/network/choose-port.ts";
import { type OrderTexts, spendOrder } from "../../../control/orders/order.ts";
import type { Restrictions } from "../../../control/orders/restrictions.ts";
import { createSessionsApi } from "../../../control/sessions/api.ts";
import { SessionsClient } from "../../../control/sessions/client.ts";
import type { SessionsConfiguration } from "../../../control/sessions/configuration.ts";
import type { SessionView } from "../../../control/sessions/describe.ts";
import { EnvironmentManager, type ManagerOptions } from "../../../control/sessions/environment-manager.ts";
import type { Requirements } from "../../../control/sessions/requirements/requirements.ts";
import { makeFastDirectory } from "../../cowfs/fast-directory.ts";
import { type Holder, type Running, registerHolder, withCorporation } from "../corporation/running.ts";
import { makeKey } from "../credentials/make-key.ts";
import type { SimulatedMachine } from "./machine.ts";

export interface Selling {
  readonly corporation: Running;
  readonly manager: EnvironmentManager;
  readonly defects: unknown[];
  /** Moves the clock of manager and XenoCorp on. Proofs of requests must not be older than a minute. */
  pass(ms: number): void;
  now(): number;
  /** Opens another manager on the same state, as after a kill of this one. */
  reopen(options?: Partial<ManagerOptions>): Promise<EnvironmentManager>;
  addClient(name?: string): Promise<Client>;
}

export interface Client extends Holder {
  readonly sessions: SessionsClient;
  /** A new order, spent with the XenoServer. */
  order(asked?: Partial<AskedOrder>, restrictions?: Restrictions): Promise<OrderTexts>;
  /** A session that an order of so many micro-units pays. */
  begin(asked?: BeginAsked): Promise<SessionView>;
}

export interface BeginAsked {
  readonly amount?: number;
  readonly termMs?: number;
  readonly policy?: PolicyName;
  readonly requirements?: Requirements;
  readonly order?: OrderTexts;
}

export const hourMs = 3_600_000;
/** Micro-units an hour: 64 MiB of memory cost 3,600 micro-units an hour, one each second. */
export const prices = { session: 3_600 } as const;
export const requirements: Requirements = {
  Basic: { EnvName: "test", EnvType: "Linux" },
  QoS: { MemoryMiB: 64 },
};
const funds = 1_000_000_000;

export async function withSelling(
  machine: SimulatedMachine,
  run: (selling: Selling) => Promise<void>,
  { validation, ...configuration }: Partial<SessionsConfiguration> & { validation?: "online" | "offline" } = {},
): Promise<void> {
  let offset = 0;
  const now = () => Date.now() + offset;
  await withCorporation(
    async (corporation) => {
      const directory = makeFastDirectory();
      const key = await makeKey("xenoserver");
      const defects: unknown[] = [];
      const open = async (address: string, options: Partial<ManagerOptions> = {}) =>
        await EnvironmentManager.open({
          configuration: {
            ...{ name: "seller", address, listen: "", key: "", servers: [machine.name], currency: "EUR", prices },
            corporations: [{ address: corporation.address, validation }],
            environments: [{ type: "Linux", kernels: { "6.1": machine.kernel } }],
            ...{ chargeSeconds: 10, graceSeconds: 100 },
            ...configuration,
          },
          ...{ key, stateDirectory: join(directory, "state"), machines: [machine], now, log: () => {} },
          ...options,
        });
      const port = await choosePort();
      const address = `http://127.0.0.1:${port}`;
      const manager = await open(address);
      const api = createSessionsApi(manager, (error) => defects.push(error), Date.now);
      try {
        await api.listen({ host: "127.0.0.1", port });
        await run({
          ...{ corporation, manager, defects, now },
          pass: (ms) => {
            offset += ms;
          },
          reopen: (options) => open(address, options),
          addClient: (name = "Ada") => addClient(corporation, address, key.publicKey, name),
        });
      } finally {
        await api.close();
        await manager.idle();
        await removeDomains(machine);
        rmSync(directory, { recursive: true, force: true });
      }
    },
    { now, settlementMs: hourMs },
  );
}

let orders = 0;

async function addClient(corporation: Running, address: string, serverKey: string, name: string): Promise<Client> {
  const holder = await registerHolder(corporation, "client", name);
  const { key, credential, client } = holder;
  await corporation.corporation.payIn(holder.holder, funds, holder.holder);
  const sessions = new SessionsClient({ address, key, credential });
  const order: Client["order"] = async (asked = {}, restrictions = {}) => {
    const { corporations } = await sessions.status();
    const texts = await client.createOrder({ id: `o${++orders}`, amount: 1000, validMs: 24 * hourMs, ...asked });
    const server = corporations.find((each) => each.address === corporation.address)!.holder;
    return await spendOrder(texts, { server, ...restrictions }, key);
  };
  const begin: Client["begin"] = async (asked = {}) => {
    const { amount = 1000, termMs = hourMs, policy = "exclusive" } = asked;
    const texts = asked.order ?? (await order({ amount, policy }));
    const offer = await sessions.offer({ requirements: asked.requirements ?? requirements, termMs }, serverKey);
    return await sessions.create(await sessions.accept(offer), texts);
  };
  return { ...holder, sessions, order, begin };
}

async function removeDomains({ client }: SimulatedMachine): Promise<void> {
  for (const { name } of await client.domains()) {
    const { task } = await client.remove(name);
    await client.waitForTask(task);
  }
}
