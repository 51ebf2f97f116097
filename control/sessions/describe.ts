/** A session, and a XenoServer, as clients are shown them. */
import { type DeployedSize, sizeOf } from "../../xenod/daemon/deployment.ts";
import type { DomainRecord } from "../../xenod/daemon/domain-record.ts";
import type { SigningKey } from "../../xenostore/keys/key-ring.ts";
import type { EnvironmentManager } from "./environment-manager.ts";
import type { Lease } from "./lease.ts";
import { isOfSession } from "./machines.ts";
import { countSpendable } from "./meter.ts";
import type { Prices } from "./prices.ts";
import type { Session, SessionOrder } from "./session.ts";

/** `domain`: what it is, or what it runs in. */
export interface TaskView {
  readonly id: string;
  readonly kind: string;
  readonly domain?: string;
  /**
   * Of its domain; `unknown` while the machine does not answer. Of a program: `running` until it is known how it ended
   * (ProgramOutcome).
   */
  readonly state: string;
  /** With which a program exited. */
  readonly code?: number;
  readonly address?: string;
  /** What its domain has, and what it is to have when it next boots. */
  readonly size?: DeployedSize;
  readonly nextSize?: DeployedSize;
  readonly error?: { readonly code: string; readonly message: string };
}

export interface SessionView
  extends Pick<Session, "id" | "state" | "reason" | "graceUntil" | "created" | "ended" | "machine"> {
  readonly lease: Lease;
  readonly signed: Session["signed"];
  /** Micro-units: paid by XenoCorps, refused by them, not answered yet, and left to charge. */
  readonly paid: number;
  readonly refused: number;
  readonly pending: number;
  readonly left: number;
  readonly orders: readonly Pick<SessionOrder, "id" | "corporation" | "left" | "expires" | "problem">[];
  readonly tasks: readonly TaskView[];
}

export interface XenoServerStatus {
  readonly name: string;
  /** The id of its key: as it is advertised, and as its leases name it. */
  readonly server: string;
  readonly key: SigningKey["publicKey"];
  /** With which it is registered: orders are spent with `holder`. */
  readonly corporations: readonly { readonly address: string; readonly holder: string; readonly isOffline: boolean }[];
  readonly environments: readonly { readonly type: string; readonly kernels: readonly string[] }[];
  readonly currency: string;
  readonly prices: Prices;
  /** Of the machine with most room; 0 to 1. */
  readonly load: number;
  readonly room: { readonly MemoryMiB: number; readonly CPUmsps: number };
  readonly sessions: number;
}

const patienceMs = 3_000;

export async function describeSession(session: Session, manager: EnvironmentManager): Promise<SessionView> {
  const { id, state, reason, graceUntil, created, ended, machine, lease, signed, paid, refused } = session;
  const client = manager.options.machines.find(({ name }) => name === machine)?.client;
  const all = await client?.domains(AbortSignal.timeout(patienceMs)).catch(() => undefined);
  const own = all?.filter((domain) => isOfSession(domain, id));
  const now = manager.now();
  return {
    ...{ id, state, reason, graceUntil, created, ended, machine, lease, signed, paid, refused },
    pending: session.pending.reduce((sum, { amount }) => sum + amount, 0),
    left: countSpendable(session, now),
    orders: session.orders.map((order) => ({
      ...{ id: order.id, corporation: order.corporation, left: order.left },
      ...{ expires: order.expires, problem: order.problem },
    })),
    tasks: [...describeDomains(session, own), ...describePrograms(session)],
  };
}

function describeDomains({ tasks }: Session, own: readonly DomainRecord[] | undefined): TaskView[] {
  return tasks.map(({ id, kind, domain: name, error }) => {
    const domain = own?.find((candidate) => candidate.name === name);
    const missing = own === undefined ? "unknown" : error === undefined ? "deploying" : "failed";
    const { state = missing, address, deployment, nextSize } = domain ?? {};
    return { id, kind, domain: name, state, address, size: deployment && sizeOf(deployment), nextSize, error };
  });
}

function describePrograms({ tasks, programs = [] }: Session): TaskView[] {
  return programs.map(({ id, kind, within, outcome = { state: "running" }, error }) => {
    const domain = tasks.find(({ request }) => request === within)?.domain;
    return { id, kind, domain, ...outcome, error };
  });
}

/** `query_xenoserver_status` of the control paper. Throws `machines-unreachable`. */
export async function describeXenoServer(manager: EnvironmentManager): Promise<XenoServerStatus> {
  const { configuration, key } = manager.options;
  const { name, environments, currency, prices } = configuration;
  const [rooms, corporations] = await Promise.all([manager.rooms.measure(), manager.corporations.list()]);
  const best = rooms.reduce((one, other) => (other.load < one.load ? other : one));
  return {
    ...{ name, server: key.id, key: key.publicKey, currency, prices, load: best.load },
    corporations: corporations.map(({ address, holder, isOffline }) => ({ address, holder, isOffline })),
    environments: environments.map(({ type, kernels }) => ({ type, kernels: Object.keys(kernels) })),
    room: { MemoryMiB: best.memoryMiB, CPUmsps: best.cpuMsPerSecond },
    sessions: manager.sessions.list().filter(({ state }) => state !== "ended").length,
  };
}
