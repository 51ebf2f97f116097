/** Where this user's sessions are: `$XENO_HOME/sessions/`, a file for each. The lease and all else is the XenoServer's to tell. */
import { XenoError } from "../../cowfs/errors.ts";
import { listStateFiles, readStateFile, removeStateFile, writeStateFile } from "../../xenod/state-file.ts";
import { loadKey } from "../../xenostore/keys/key-ring.ts";
import { type OrderTexts, spendOrder } from "../orders/order.ts";
import { SessionsClient } from "../sessions/client.ts";
import { loadAccount, openAccount } from "./accounts.ts";
import type { Home } from "./home.ts";

export interface KnownSession {
  readonly format: 1;
  readonly id: string;
  /** The XenoServer's address, and the key that signs its leases. */
  readonly address: string;
  readonly serverKey: string;
  /** As whose client this user asks there. */
  readonly corporation: string;
}

export async function saveSession(home: Home, session: KnownSession): Promise<void> {
  await writeStateFile(fileOf(home, session.id), session);
}

export async function forgetSession(home: Home, id: string): Promise<void> {
  await removeStateFile(fileOf(home, id));
}

export async function listSessions(home: Home): Promise<KnownSession[]> {
  const ids = await listStateFiles(home.at("sessions"));
  const sessions = await Promise.all(ids.map((id) => readStateFile<KnownSession>(fileOf(home, id), 1)));
  return sessions.filter((session) => session !== undefined);
}

/** By its id, or how that begins. Throws `session-unknown`, `session-ambiguous`. */
export async function findSession(home: Home, beginning: string): Promise<KnownSession> {
  const [found, ...others] = (await listSessions(home)).filter(({ id }) => id.startsWith(beginning));
  if (found !== undefined && others.length === 0) return found;
  if (found === undefined)
    throw new XenoError("session-unknown", `you have no session ${beginning}`, { hint: "xeno session ls shows yours" });
  throw new XenoError("session-ambiguous", `${others.length + 1} sessions begin with ${beginning}`, {
    hint: "write more of its id",
  });
}

/** Asks a XenoServer as this user, who is a client of `corporation`. */
export async function openSessions(home: Home, address: string, corporation: string): Promise<SessionsClient> {
  const { key, credential } = await loadAccount(home, corporation, "client");
  return new SessionsClient({ address, key: await loadKey(home.keys, key), credential });
}

export interface NewOrder {
  readonly corporation: string;
  readonly id: string;
  /** Micro-units. */
  readonly amount: number;
  readonly validMs: number;
}

/** Has an order issued and spends it with a XenoServer. Throws `corporation-unaccepted`. */
export async function orderFor(home: Home, sessions: SessionsClient, asked: NewOrder): Promise<OrderTexts> {
  const { corporation, ...order } = asked;
  const texts = await (await openAccount(home, corporation, "client")).createOrder(order);
  return await spendWith(home, sessions, corporation, texts);
}

/** Spends an order, narrowed to a XenoServer. */
export async function spendWith(
  home: Home,
  sessions: SessionsClient,
  corporation: string,
  texts: OrderTexts,
): Promise<OrderTexts> {
  const { corporations } = await sessions.status();
  const accepted = corporations.find(({ address }) => address === corporation);
  if (accepted === undefined)
    throw new XenoError("corporation-unaccepted", `this XenoServer does not accept the XenoCorp ${corporation}`, {
      hint: `it accepts ${corporations.map(({ address }) => address).join(", ")}`,
    });
  const { key } = await loadAccount(home, corporation, "client");
  return await spendOrder(texts, { server: accepted.holder }, await loadKey(home.keys, key));
}

function fileOf(home: Home, id: string): string {
  return home.at("sessions", `${id}.json`);
}
