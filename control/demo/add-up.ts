/** What a client paid, counted in four ways that know nothing of each other. */
import { XenoError } from "../../cowfs/errors.ts";
import type { CorporationClient } from "../corporation/client.ts";
import type { Corporation } from "../corporation/corporation.ts";
import type { SessionView } from "../sessions/describe.ts";
import type { Market } from "./market.ts";

export interface AddedUp {
  readonly client: string;
  readonly corporation: string;
  /** Micro-units: what the client has no more, and each of the others. */
  readonly paid: number;
}

interface Adding {
  readonly client: {
    readonly name: string;
    readonly corporation: Corporation;
    readonly account: CorporationClient;
  };
  readonly market: Market;
  readonly paidIn: number;
  readonly sessions: readonly SessionView[];
}

/** Throws `books-wrong` where account, audits, sessions and the XenoServers' earnings differ by a micro-unit. */
export async function addUp({ client, market, paidIn, sessions }: Adding): Promise<AddedUp> {
  const { name, corporation, account } = client;
  const address = corporation.options.name;
  const { posted, held } = await account.account();
  const own = sessions.filter(({ orders }) => orders.every((order) => order.corporation === address));
  const audits = await Promise.all((await account.listOrders()).map(({ id }) => account.audit(id)));
  const posts = audits.flatMap(({ transfers }) => transfers.filter(({ kind }) => kind === "post"));
  const earned = await Promise.all(market.sellers.map((seller) => earnedOf(seller, address)));
  const counted = {
    account: paidIn - posted,
    sessions: sum(own.map(({ paid }) => paid)),
    audits: sum(posts.map(({ amount }) => amount)),
    earnings: sum(earned),
  };
  const isRight = held === 0 && Object.values(counted).every((paid) => paid === counted.account);
  if (!isRight)
    throw new XenoError("books-wrong", `${name}'s books do not add up: ${JSON.stringify({ ...counted, held })}`);
  return { client: name, corporation: address, paid: counted.account };
}

async function earnedOf({ corporations, options }: Market["sellers"][number], address: string): Promise<number> {
  if (options.configuration.corporations.every((accepted) => accepted.address !== address)) return 0;
  const { client } = await corporations.find(address);
  return (await client.account()).posted;
}

function sum(amounts: readonly number[]): number {
  return amounts.reduce((total, amount) => total + amount, 0);
}
