/** Credentials that were verified once: verifying is a signature each, and a client shows the same one with every request. */
import { createHash } from "node:crypto";
import { XenoError } from "../../cowfs/errors.ts";
import type { Credential } from "./credential.ts";

const maxKnown = 10_000;

export class KnownCredentials {
  /** By the hash of their text, longest unused first. */
  readonly #known = new Map<string, Credential>();
  readonly #verify: (text: string) => Promise<Credential>;

  /** `verify` throws where a text is no credential. */
  constructor(verify: (text: string) => Promise<Credential>) {
    this.#verify = verify;
  }

  /** Throws what `verify` throws, and `credential-expired`. */
  async verify(text: string, now: number): Promise<Credential> {
    const id = createHash("sha256").update(text).digest("base64url");
    const known = this.#known.get(id);
    if (known === undefined) return this.#remember(id, await this.#verify(text));
    if (now < known.exp * 1000) return this.#remember(id, known);
    this.#known.delete(id);
    throw new XenoError("credential-expired", `the credential of ${known.sub} has expired`, {
      hint: "register again with the same key: it stays the same holder",
    });
  }

  #remember(id: string, credential: Credential): Credential {
    this.#known.delete(id);
    this.#known.set(id, credential);
    if (this.#known.size > maxKnown) this.#known.delete(this.#known.keys().next().value!);
    return credential;
  }
}
