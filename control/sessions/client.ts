/** The asking side of a XenoServer's sessions, for a client with its key and a credential. */
import { XenoError } from "../../cowfs/errors.ts";
import type { SigningKey } from "../../xenostore/keys/key-ring.ts";
import { ProvedClient } from "../credentials/proved-client.ts";
import { describePublicKey, importPublicKey } from "../credentials/public-key.ts";
import type { OrderTexts } from "../orders/order.ts";
import type { SessionView, XenoServerStatus } from "./describe.ts";
import { acceptOffer, type Lease, readOffer, type SignedLease } from "./lease.ts";
import type { Requirements } from "./requirements/requirements.ts";
import type { AskedTask } from "./session-tasks.ts";

export interface SessionsClientOptions {
  readonly address: string;
  readonly key: SigningKey;
  readonly credential: string;
}

export interface AskedLease {
  readonly requirements?: Requirements;
  /** The papers' XML instead. */
  readonly requirementsXml?: string;
  readonly termMs: number;
  readonly session?: string;
}

export interface ReceivedOffer {
  readonly text: string;
  readonly lease: Lease;
}

export class SessionsClient {
  readonly #options: SessionsClientOptions;
  readonly #client: ProvedClient;

  constructor(options: SessionsClientOptions) {
    this.#options = options;
    this.#client = new ProvedClient({ ...options, who: "the XenoServer", code: "xenoserver" });
  }

  status(): Promise<XenoServerStatus> {
    return this.#client.ask("GET", "/v1/xenoserver");
  }

  /** What the XenoServer offers, signed by the key that its status tells. Throws `offer-unfit` where it is another thing than asked. */
  async offer(asked: AskedLease, serverKey: string): Promise<ReceivedOffer> {
    const { offer: text } = await this.#client.ask<{ offer: string }>("POST", "/v1/offers", asked);
    const lease = await readOffer(text, await importPublicKey(describePublicKey(serverKey)));
    const isOurs =
      lease.client === this.#options.key.id &&
      lease.ends - lease.starts >= (asked.session === undefined ? asked.termMs : 0) &&
      (asked.session === undefined || lease.session === asked.session);
    if (isOurs) return { text, lease };
    throw new XenoError("offer-unfit", "the XenoServer offers another thing than was asked for", {
      hint: "ask another one",
    });
  }

  /** Signs an offer that was looked at. */
  accept({ text }: ReceivedOffer): Promise<SignedLease> {
    return acceptOffer(text, this.#options.key);
  }

  create(signed: SignedLease, order: OrderTexts): Promise<SessionView> {
    return this.#client.ask("POST", "/v1/sessions", { ...signed, order });
  }

  list(): Promise<SessionView[]> {
    return this.#client.ask("GET", "/v1/sessions");
  }

  show(session: string): Promise<SessionView> {
    return this.#client.ask("GET", `/v1/sessions/${session}`);
  }

  amend(session: string, signed: SignedLease): Promise<SessionView> {
    return this.#client.ask("POST", `/v1/sessions/${session}/leases`, signed);
  }

  topUp(session: string, order: OrderTexts): Promise<SessionView> {
    return this.#client.ask("POST", `/v1/sessions/${session}/orders`, { order });
  }

  deploy(session: string, task: AskedTask): Promise<{ id: string; kind: string; domain: string }> {
    return this.#client.ask("POST", `/v1/sessions/${session}/tasks`, task);
  }

  async readLog(session: string, task: string): Promise<string> {
    return (await this.#client.ask<{ text: string }>("GET", `/v1/sessions/${session}/tasks/${task}/log`)).text;
  }

  endTask(session: string, task: string): Promise<SessionView> {
    return this.#client.ask("POST", `/v1/sessions/${session}/tasks/${task}/end`, {});
  }

  end(session: string): Promise<SessionView> {
    return this.#client.ask("POST", `/v1/sessions/${session}/end`, {});
  }
}
