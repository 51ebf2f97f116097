/**
 * The XenoCorps that a XenoServer accepts, by its operator's word: as whose clients callers prove themselves, and who pays.
 *
 * It registers with each by itself, with its key, and keeps what it was told: a XenoCorp that does not answer now stops new
 * online sessions and the sending of charges, and nothing else. A key that was seen once is expected from then on.
 */
import { join } from "node:path";
import type { CryptoKey } from "jose";
import { type Static, Type } from "typebox";
import { XenoError } from "../../cowfs/errors.ts";
import { readStateFile, writeStateFile } from "../../xenod/state-file.ts";
import type { SigningKey } from "../../xenostore/keys/key-ring.ts";
import { CorporationClient } from "../corporation/client.ts";
import { type Credential, verifyCredential } from "../credentials/credential.ts";
import { KnownCredentials } from "../credentials/known-credentials.ts";
import { describePublicKey, importPublicKey } from "../credentials/public-key.ts";
import { decodePayload } from "../information/decode-payload.ts";
import { type OrderTexts, type SpendableOrder, verifyOrder } from "../orders/order.ts";

export const AcceptedCorporation = Type.Object(
  {
    address: Type.String({ maxLength: 200, description: "Its name: https://HOST[:PORT]." }),
    key: Type.Optional(
      Type.String({
        pattern: "^ed25519:[A-Za-z0-9_-]{43}$",
        description: "Default: what it says when it is first asked.",
      }),
    ),
    validation: Type.Optional(
      Type.Enum(["online", "offline"], {
        description:
          "online (the default): it is asked before a session begins. offline: orders are verified here, and a client that " +
          "spends one at many XenoServers is found out when charges are sent.",
      }),
    ),
  },
  { additionalProperties: false },
);
export type AcceptedCorporation = Static<typeof AcceptedCorporation>;

interface Account {
  readonly key: string;
  readonly holder: string;
  readonly credential: string;
  readonly registered: number;
}

interface AccountsFile {
  readonly format: 1;
  readonly accounts: { [address: string]: Account };
}

export interface Corporation {
  readonly address: string;
  readonly isOffline: boolean;
  /** What this XenoServer is there: orders are spent with it by this name. */
  readonly holder: string;
  readonly client: CorporationClient;
  readonly verifyKey: CryptoKey;
}

export interface AcceptedOptions {
  readonly accepted: readonly AcceptedCorporation[];
  /** As it registers. */
  readonly name: string;
  readonly key: SigningKey;
  readonly stateDirectory: string;
  readonly now: () => number;
}

/** Credentials are valid for 90 days. */
const registerAgainMs = 24 * 3_600_000;
const maxCredentialBytes = 16 * 1024;

export class AcceptedCorporations {
  readonly #options: AcceptedOptions;
  readonly #file: string;
  readonly #known: KnownCredentials;
  readonly #registering = new Map<string, Promise<Account>>();
  #accounts: AccountsFile["accounts"] = {};

  constructor(options: AcceptedOptions) {
    this.#options = options;
    this.#file = join(options.stateDirectory, "corporations.json");
    this.#known = new KnownCredentials((text) => this.#verifyCredential(text));
  }

  async load(): Promise<void> {
    this.#accounts = (await readStateFile<AccountsFile>(this.#file, 1))?.accounts ?? {};
  }

  /** Those that it is registered with, registering where it is not yet; one that does not answer is left out. */
  async list(): Promise<Corporation[]> {
    const all = this.#options.accepted.map(({ address }) => this.find(address).catch(() => undefined));
    return (await Promise.all(all)).filter((corporation) => corporation !== undefined);
  }

  /** Throws `corporation-unaccepted`, `corporation-changed`, `corporation-unreachable`. */
  async find(address: string): Promise<Corporation> {
    const accepted = this.#options.accepted.find((candidate) => candidate.address === address);
    if (accepted === undefined)
      throw new XenoError(
        "corporation-unaccepted",
        `this XenoServer does not accept the XenoCorp ${address.slice(0, 200)}`,
        {
          hint: `it accepts ${this.#options.accepted.map((each) => each.address).join(", ")}`,
        },
      );
    const { key, holder, credential } = await this.#account(accepted);
    return {
      address,
      isOffline: accepted.validation === "offline",
      holder,
      client: new CorporationClient(address, this.#options.key, credential),
      verifyKey: await importPublicKey(describePublicKey(key)),
    };
  }

  /** Whom a credential of one of them is of. Throws as `find` and `verifyCredential` do. */
  async authenticate(text: string): Promise<Credential> {
    return await this.#known.verify(text, this.#options.now());
  }

  /** What an order allows here. Throws as `find` and `verifyOrder` do, and `order-foreign` where it is another XenoServer's. */
  async verifyOrder(texts: OrderTexts): Promise<{ order: SpendableOrder; corporation: Corporation }> {
    const said = decodePayload(texts[0]!, maxCredentialBytes) as { iss?: unknown };
    const corporation = await this.find(String(said.iss));
    const { address: name, verifyKey, holder } = corporation;
    const order = await verifyOrder(texts, { name, key: verifyKey }, this.#options.now());
    if (order.restrictions.server === holder) return { order, corporation };
    throw new XenoError("order-foreign", `the order ${order.id} was spent with ${order.restrictions.server}`, {
      hint: `here it is to be spent with ${holder}`,
    });
  }

  async #verifyCredential(text: string): Promise<Credential> {
    const said = decodePayload(text, maxCredentialBytes) as { iss?: unknown };
    const { address, verifyKey } = await this.find(String(said.iss));
    return await verifyCredential(text, { corporation: address, key: verifyKey }, this.#options.now());
  }

  async #account(accepted: AcceptedCorporation): Promise<Account> {
    const { address } = accepted;
    const known = this.#accounts[address];
    if (known !== undefined && this.#options.now() - known.registered < registerAgainMs) return known;
    const registering = this.#registering.get(address) ?? this.#register(accepted, known);
    this.#registering.set(address, registering);
    try {
      return await registering;
    } catch (error) {
      // What it said before is good until the credential expires.
      if (known === undefined || (error as XenoError).code !== "corporation-unreachable") throw error;
      return known;
    } finally {
      this.#registering.delete(address);
    }
  }

  async #register({ address, key: expected }: AcceptedCorporation, known: Account | undefined): Promise<Account> {
    const { name, key, now } = this.#options;
    const client = new CorporationClient(address, key);
    const said = await client.describe();
    const wanted = expected ?? known?.key ?? said.key;
    if (said.key !== wanted)
      throw new XenoError("corporation-changed", `the XenoCorp ${address} has the key ${said.key}, not ${wanted}`, {
        hint: "ask its operator; if that is right, change its key in the configuration",
      });
    const account = {
      key: said.key,
      registered: now(),
      ...(await client.register("server", name, { key: key.publicKey })),
    };
    this.#accounts = { ...this.#accounts, [address]: account };
    await writeStateFile(this.#file, { format: 1, accounts: this.#accounts });
    return account;
  }
}
