/** The asking side of a XenoCorp's API, with a holder's key. */

import type { PublicKeyText, SigningKey } from "../../xenostore/keys/key-ring.ts";
import type { Role } from "../credentials/credential.ts";
import { ProvedClient } from "../credentials/proved-client.ts";
import type { Balance, Transfer } from "../ledger/ledger.ts";
import type { OrderTexts } from "../orders/order.ts";
import type { AskedOrder, OrderView } from "./corporation.ts";
import type { AskedCharge, Charged } from "./payments.ts";

export class CorporationClient {
  readonly #address: string;
  readonly #key: SigningKey;
  readonly #client: ProvedClient;

  /** `address` is the XenoCorp's name: scheme, host and port. */
  constructor(address: string, key: SigningKey, credential?: string) {
    this.#address = address;
    this.#key = key;
    this.#client = new ProvedClient({ address, key, credential, who: "the XenoCorp", code: "corporation" });
  }

  /** Whom one deals with. */
  describe(): Promise<{ name: string; key: PublicKeyText; currency: string; policies: string[] }> {
    return this.#client.ask("GET", "/v1/corporation");
  }

  /** The key alone registers: a credential that it may have is not shown. */
  register(role: Role, name: string, details?: unknown): Promise<{ holder: string; credential: string }> {
    return new CorporationClient(this.#address, this.#key).#client.ask("POST", "/v1/registrations", {
      role,
      name,
      details,
    });
  }

  account(): Promise<Balance> {
    return this.#client.ask("GET", "/v1/account");
  }

  async createOrder(order: AskedOrder): Promise<OrderTexts> {
    return (await this.#client.ask<{ texts: OrderTexts }>("POST", "/v1/orders", order)).texts;
  }

  listOrders(): Promise<OrderView[]> {
    return this.#client.ask("GET", "/v1/orders");
  }

  validate(presented: OrderTexts, session: string): Promise<{ order: string; allowed: number }> {
    return this.#client.ask("POST", "/v1/validations", { presented, session });
  }

  charge(charge: AskedCharge): Promise<Charged> {
    return this.#client.ask("POST", "/v1/charges", charge);
  }

  async close(order: string): Promise<void> {
    await this.#client.ask("POST", `/v1/orders/${encodeURIComponent(order)}/close`, {});
  }

  audit(order: string, after = 0): Promise<{ order: OrderView; transfers: Transfer[] }> {
    return this.#client.ask("GET", `/v1/orders/${encodeURIComponent(order)}/audit?after=${after}`);
  }
}
