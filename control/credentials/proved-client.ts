/**
 * The asking side of what is served to holders of keys: each request is proved with the holder's key (proof.ts), and errors come
 * back as they were thrown.
 */
import { XenoError } from "../../cowfs/errors.ts";
import type { ErrorBody } from "../../xenod/http/json-server.ts";
import type { SigningKey } from "../../xenostore/keys/key-ring.ts";
import { proveRequest } from "./proof.ts";

export interface ProvedClientOptions {
  /** Scheme, host and port. */
  readonly address: string;
  readonly key: SigningKey;
  /** None where the key alone counts. */
  readonly credential?: string;
  /** Who answers there, for messages: `the XenoCorp`. */
  readonly who: string;
  /** Begins the codes of its own errors: `corporation` makes `corporation-unreachable`. */
  readonly code: string;
}

const patienceMs = 15_000;
const maxAnswerBytes = 4 * 1024 * 1024;

export class ProvedClient {
  readonly #options: ProvedClientOptions;
  readonly #address: string;

  constructor(options: ProvedClientOptions) {
    this.#options = options;
    this.#address = options.address.replace(/\/$/, "");
  }

  /** The answer's JSON. Rejects with the XenoError that the server threw, or `…-unreachable` within 15 s. */
  async ask<Answer>(method: "GET" | "POST", path: string, body?: unknown): Promise<Answer> {
    const { key, credential, code: kind } = this.#options;
    const text = body === undefined ? "" : JSON.stringify(body);
    const proof = { method, address: `${this.#address}${path.split("?", 1)[0]}`, body: text, credential };
    const headers: Record<string, string> = { dpop: await proveRequest(proof, key, Date.now()) };
    if (credential !== undefined) headers.authorization = `DPoP ${credential}`;
    if (body !== undefined) headers["content-type"] = "application/json";
    const { status, answer } = await this.#fetch(`${this.#address}${path}`, {
      method,
      headers,
      body: text || undefined,
    });
    if (status < 400) return answer as Answer;
    const { code = `${kind}-failed`, message = `it answered ${status}`, hint } = answer as Partial<ErrorBody>;
    throw new XenoError(code, message, { hint });
  }

  async #fetch(url: string, request: RequestInit): Promise<{ status: number; answer: unknown }> {
    const { who, code } = this.#options;
    try {
      const reply = await fetch(url, { ...request, redirect: "error", signal: AbortSignal.timeout(patienceMs) });
      const text = await reply.text();
      if (text.length > maxAnswerBytes) throw new Error("its answer is too long");
      return { status: reply.status, answer: JSON.parse(text) };
    } catch (cause) {
      throw new XenoError(`${code}-unreachable`, `${who} at ${this.#address}: ${(cause as Error).message}`, {
        hint: "is its address right, and does it run?",
        cause,
      });
    }
  }
}
