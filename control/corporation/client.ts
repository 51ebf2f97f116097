/** The asking side of a XenoCorp's API: each request is proved with the holder's key, and errors come back as they were thrown. */
import { XenoError } from "../../cowfs/errors.ts";
import type { ErrorBody } from "../../xenod/http/json-server.ts";
import type { SigningKey } from "../../xenostore/keys/key-ring.ts";
import type { Role } from "../credentials/credential.ts";
import { proveRequest } from "../credentials/proof.ts";
import type { Balance, Transfer } from "../ledger/ledger.ts";
import type { OrderTexts } from "../orders/order.ts";
import type { AskedOrder, OrderView } from "./corporation.ts";
import type { AskedCharge, Charged } from "./payments.ts";

const patienceMs = 15_000;
const maxAnswerBytes = 4 * 1024 * 1024;

export class CorporationClient {
  readonly #address: string;
  readonly #key: SigningKey;
  readonly #credential: string | undefined;

  /** `address` is the XenoCorp's name: scheme, host and port. */
  constructor(address: string, key: SigningKey, credential?: string) {
    this.#address = address.replace(/\/$/, "");
    this.#key = key;
    this.#credential = credential;
  }

  /** The key alone registers: a credential that it may have is not shown. */
  register(role: Role, name: string, details?: unknown): Promise<{ holder: string; credential: string }> {
    return new CorporationClient(this.#address, this.#key).#ask("POST", "/v1/registrations", { role, name, details });
  }

  account(): Promise<Balance> {
    return this.#ask("GET", "/v1/account");
  }

  async createOrder(order: AskedOrder): Promise<OrderTexts> {
    return (await this.#ask<{ texts: OrderTexts }>("POST", "/v1/orders", order)).texts;
  }

  listOrders(): Promise<OrderView[]> {
    return this.#ask("GET", "/v1/orders");
  }

  validate(presented: OrderTexts, session: string): Promise<{ order: string; allowed: number }> {
    return this.#ask("POST", "/v1/validations", { presented, session });
  }

  charge(charge: AskedCharge): Promise<Charged> {
    return this.#ask("POST", "/v1/charges", charge);
  }

  async close(order: string): Promise<void> {
    await this.#ask("POST", `/v1/orders/${encodeURIComponent(order)}/close`, {});
  }

  audit(order: string, after = 0): Promise<{ order: OrderView; transfers: Transfer[] }> {
    return this.#ask("GET", `/v1/orders/${encodeURIComponent(order)}/audit?after=${after}`);
  }

  async #ask<Answer>(method: "GET" | "POST", path: string, body?: unknown): Promise<Answer> {
    const text = body === undefined ? "" : JSON.stringify(body);
    const address = `${this.#address}${path.split("?", 1)[0]}`;
    const proof = { method, address, body: text, credential: this.#credential };
    const headers: Record<string, string> = { dpop: await proveRequest(proof, this.#key, Date.now()) };
    if (this.#credential !== undefined) headers.authorization = `DPoP ${this.#credential}`;
    if (body !== undefined) headers["content-type"] = "application/json";
    const { status, answer } = await this.#fetch(`${this.#address}${path}`, {
      method,
      headers,
      body: text || undefined,
    });
    if (status < 400) return answer as Answer;
    const { code = "corporation-failed", message = `it answered ${status}`, hint } = answer as Partial<ErrorBody>;
    throw new XenoError(code, message, { hint });
  }

  async #fetch(url: string, request: RequestInit): Promise<{ status: number; answer: unknown }> {
    try {
      const reply = await fetch(url, { ...request, redirect: "error", signal: AbortSignal.timeout(patienceMs) });
      const text = await reply.text();
      if (text.length > maxAnswerBytes) throw new Error("its answer is too long");
      return { status: reply.status, answer: JSON.parse(text) };
    } catch (cause) {
      throw new XenoError("corporation-unreachable", `the XenoCorp at ${this.#address}: ${(cause as Error).message}`, {
        hint: "is its address right, and does it run?",
        cause,
      });
    }
  }
}
