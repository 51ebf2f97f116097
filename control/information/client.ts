/** The asking side of a node's API. */
import { XenoError } from "../../cowfs/errors.ts";
import type { ErrorBody } from "../../xenod/http/json-server.ts";
import type { FindResult } from "../search/find-servers.ts";
import type { Query } from "../search/query.ts";
import type { Advertisement } from "./advertisement.ts";
import type { Change, Found } from "./inverted-file.ts";

export interface AskedLookup {
  readonly token: string;
  readonly value?: string;
  readonly from?: number;
  readonly to?: number;
  readonly limit?: number;
  readonly after?: string;
}

const patienceMs = 10_000;

export class InformationClient {
  readonly #address: string;

  constructor(address: string) {
    this.#address = address.replace(/\/$/, "");
  }

  advertise(text: string): Promise<{ server: string; isNew: boolean }> {
    return this.#ask("/v1/advertisements", { method: "POST", body: JSON.stringify({ text }) });
  }

  find(server: string): Promise<Advertisement & { ageMs: number }> {
    return this.#ask(`/v1/servers/${encodeURIComponent(server)}`);
  }

  lookup(lookup: AskedLookup): Promise<Found & { after?: string }> {
    const given = Object.entries(lookup).filter(([, value]) => value !== undefined);
    return this.#ask(
      `/v1/lookup?${new URLSearchParams(given.map(([name, value]): [string, string] => [name, String(value)]))}`,
    );
  }

  /** Where the node searches as well (control/search). */
  findServers(query: Query): Promise<FindResult> {
    return this.#ask("/v1/find", { method: "POST", body: JSON.stringify(query) });
  }

  listChanges(since: number): Promise<{ life: string; changes: Change[] }> {
    return this.#ask(`/v1/changes?since=${since}`);
  }

  async #ask<Answer>(path: string, request: RequestInit = {}): Promise<Answer> {
    const headers = request.body === undefined ? undefined : { "content-type": "application/json" };
    const signal = AbortSignal.timeout(patienceMs);
    const reply = await fetch(`${this.#address}${path}`, { ...request, headers, signal, redirect: "error" }).catch(
      (cause) => {
        throw new XenoError(
          "information-unreachable",
          `the information service at ${this.#address}: ${cause.message}`,
          {
            hint: "is its address right, and does it run? ask another node",
            cause,
          },
        );
      },
    );
    const answer = (await reply.json()) as Answer & Partial<ErrorBody>;
    if (reply.ok) return answer;
    throw new XenoError(answer.code ?? "information-failed", answer.message ?? `it answered ${reply.status}`, {
      hint: answer.hint,
    });
  }
}
