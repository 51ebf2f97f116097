/**
 * The one story of the control plane, whoever plays the guests: two clients of two XenoCorps find XenoServers, order, lease and
 * deploy; charges arrive; one runs dry, is suspended, pays on and is resumed; both end, and the books are added up.
 */
import { setTimeout as delay } from "node:timers/promises";
import { XenoError } from "../../cowfs/errors.ts";
import type { SigningKey } from "../../xenostore/keys/key-ring.ts";
import { CorporationClient } from "../corporation/client.ts";
import type { Corporation } from "../corporation/corporation.ts";
import { InformationClient } from "../information/client.ts";
import { formatMoney } from "../ledger/money.ts";
import { spendOrder } from "../orders/order.ts";
import { SessionsClient } from "../sessions/client.ts";
import type { SessionView } from "../sessions/describe.ts";
import type { Requirements } from "../sessions/requirements/requirements.ts";
import { type AddedUp, addUp } from "./add-up.ts";
import type { Market } from "./market.ts";

export interface Story {
  readonly market: Market;
  readonly keys: { readonly ada: SigningKey; readonly bob: SigningKey };
  readonly overlay: string;
  readonly memoryMiB: number;
  /** A link so dear that the rest of a small order is soon spent. */
  readonly fastMbps: number;
  /** Settles once the service of a session's task answers. */
  untilServes(session: SessionView): Promise<void>;
  /** Called when all of it runs again, before it is ended. */
  stayUp(): Promise<void>;
  tell(who: string, what: string): void;
  readonly signal: AbortSignal;
}

export interface StoryReport {
  readonly sessions: readonly SessionView[];
  readonly books: readonly AddedUp[];
}

interface Client {
  readonly name: string;
  readonly key: SigningKey;
  readonly corporation: Corporation;
  readonly account: CorporationClient;
  readonly holder: string;
  readonly credential: string;
}

interface Leased {
  readonly client: Client;
  readonly sessions: SessionsClient;
  readonly serverKey: string;
  view: SessionView;
}

const hourMs = 3_600_000;
const unit = 1_000_000;
const paidIn = 10 * unit;
const deadlineMs = 300_000;
const endDeadlineMs = 120_000;
const lookMs = 250;

export async function tellStory(story: Story): Promise<StoryReport> {
  const { market, keys, signal, tell } = story;
  const [north, south] = market.corporations;
  const ada = await register("Ada", keys.ada, north!, story);
  const bob = await register("Bob", keys.bob, south!, story);
  const leased: Leased[] = [];
  for (const address of await findAddresses(ada, 2, story)) leased.push(await lease(ada, address, 2 * unit, story));
  const [only] = await findAddresses(bob, 1, story);
  const dry = await lease(bob, only!, unit / 5, story);
  leased.push(dry);

  const { overlay } = story;
  for (const { client, sessions, view } of leased) {
    const { domain } = await sessions.deploy(view.id, { id: "web", kind: "domain", asked: { overlay } });
    tell(client.name, `deployed ${overlay} as ${view.machine}/${domain}`);
  }
  await Promise.all(leased.map((each) => serves(each, story)));
  await Promise.all(leased.map((each) => waitFor("a charge", each, ({ paid }) => paid > 0, signal)));
  for (const { client, view } of leased)
    tell(client.name, `has paid ${formatMoney(view.paid)} to ${view.machine} so far`);

  await runDry(dry, story);
  await resume(dry, story);
  await story.stayUp();
  // Interrupted or not, what is leased is given back.
  const ending = AbortSignal.timeout(endDeadlineMs);
  for (const each of leased) {
    await each.sessions.end(each.view.id);
    await waitFor("its end", each, ({ state }) => state === "ended", ending);
    tell(each.client.name, `ended the session on ${each.view.machine}: ${formatMoney(each.view.paid)} in all`);
  }
  const views = leased.map(({ view }) => view);
  const books = await Promise.all([ada, bob].map((client) => addUp({ client, market, paidIn, sessions: views })));
  for (const { corporation, paid } of books)
    tell("audit", `${corporation}: ${formatMoney(paid)} paid, earned and told of in charges, to the last millionth`);
  return { sessions: views, books };
}

async function register(name: string, key: SigningKey, corporation: Corporation, { tell }: Story): Promise<Client> {
  const address = corporation.options.name;
  const { holder, credential } = await new CorporationClient(address, key).register("client", name);
  await corporation.payIn(holder, paidIn, name);
  tell(name, `is ${holder} of ${address}, and paid ${formatMoney(paidIn)} in`);
  return { name, key, corporation, account: new CorporationClient(address, key, credential), holder, credential };
}

async function findAddresses(
  client: Client,
  count: number,
  { market, memoryMiB, signal, tell }: Story,
): Promise<string[]> {
  const information = new InformationClient(market.information);
  const query = {
    ...{ count, environment: { type: "Linux" }, resources: { MemoryMiB: memoryMiB }, hours: 1 },
    where: { token: "XenoCorp", value: client.corporation.options.name },
    priorities: { price: 1 },
  };
  for (const end = Date.now() + deadlineMs; Date.now() < end; ) {
    const { matches } = await information.findServers(query);
    if (matches.length >= count) {
      for (const { address, because } of matches) tell(client.name, `found ${address}: ${because.join(", ")}`);
      return matches.map(({ address }) => address);
    }
    await delay(lookMs, undefined, { signal });
  }
  throw new XenoError("xenoserver-missing", `${count} XenoServers for ${client.name} were not found`);
}

async function lease(client: Client, address: string, amount: number, story: Story): Promise<Leased> {
  const { key, credential, account } = client;
  const sessions = new SessionsClient({ address, key, credential });
  const { key: serverKey, corporations } = await sessions.status();
  const offer = await sessions.offer({ requirements: requirementsOf(story), termMs: hourMs }, serverKey);
  const texts = await account.createOrder({ id: offer.lease.session, amount, validMs: 2 * hourMs });
  const { holder: server } = corporations.find((each) => each.address === client.corporation.options.name)!;
  const order = await spendOrder(texts, { server }, key);
  const view = await sessions.create(await sessions.accept(offer), order);
  const price = formatMoney(offer.lease.pricePerHour);
  story.tell(client.name, `leased ${view.machine} for an hour at ${price}, with an order of ${formatMoney(amount)}`);
  return { client, sessions, serverKey, view };
}

/** A link that is far too dear for what is left. */
async function runDry(leased: Leased, story: Story): Promise<void> {
  const { client } = leased;
  await change(leased, { NetMbps: story.fastMbps }, story);
  story.tell(
    client.name,
    `wants a link of ${story.fastMbps} Mbps: ${formatMoney(leased.view.lease.pricePerHour)} an hour`,
  );
  const isHeld = ({ state, tasks }: SessionView) =>
    state === "suspended" && /^(suspended|stopped)$/.test(tasks[0]!.state);
  await waitFor("it to run dry", leased, isHeld, story.signal);
  story.tell(client.name, `ran dry on ${leased.view.machine}: its guest is ${leased.view.tasks[0]!.state}, and kept`);
}

async function resume(leased: Leased, story: Story): Promise<void> {
  const { client, sessions, view } = leased;
  await change(leased, {}, story);
  const texts = await client.account.createOrder({ id: `${view.id}.2`, amount: unit, validMs: 2 * hourMs });
  const { corporations } = await sessions.status();
  const { holder: server } = corporations.find((each) => each.address === client.corporation.options.name)!;
  leased.view = await sessions.topUp(view.id, await spendOrder(texts, { server }, client.key));
  story.tell(client.name, `topped up with ${formatMoney(unit)}, without that link`);
  await serves(leased, story);
  story.tell(client.name, `is served again by ${view.machine}`);
}

async function change(leased: Leased, more: { NetMbps?: number }, story: Story): Promise<void> {
  const { sessions, serverKey, view } = leased;
  const { Basic, QoS } = requirementsOf(story);
  const asked = { requirements: { Basic, QoS: { ...QoS, ...more } }, termMs: hourMs, session: view.id };
  const offer = await sessions.offer(asked, serverKey);
  leased.view = await sessions.amend(view.id, await sessions.accept(offer));
}

async function serves(leased: Leased, story: Story): Promise<void> {
  const isUp = ({ state, tasks }: SessionView) => state === "active" && tasks[0]?.state === "running";
  await waitFor("its guest", leased, isUp, story.signal);
  await story.untilServes(leased.view);
}

/** Keeps the view up to date meanwhile. Throws `story-stuck`. */
async function waitFor(what: string, leased: Leased, isSo: (view: SessionView) => boolean, signal: AbortSignal) {
  for (const end = Date.now() + deadlineMs; Date.now() < end; ) {
    leased.view = await leased.sessions.show(leased.view.id);
    if (isSo(leased.view)) return;
    const failed = leased.view.tasks.find(({ error }) => error !== undefined);
    if (failed !== undefined) throw new XenoError(failed.error!.code, failed.error!.message);
    await delay(lookMs, undefined, { signal });
  }
  const { id, state, machine } = leased.view;
  throw new XenoError("story-stuck", `the session ${id} on ${machine}, which is ${state}, waited in vain for ${what}`);
}

function requirementsOf({ memoryMiB }: Story): Requirements {
  return { Basic: { EnvName: "web", EnvType: "Linux" }, QoS: { MemoryMiB: memoryMiB } };
}
