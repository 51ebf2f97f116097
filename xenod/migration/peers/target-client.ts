/** The source's client of the XenoServer that is to receive: TLS with both keys, as all of the API on TCP. */
import { createReadStream } from "node:fs";
import type { Duplex } from "node:stream";
import { XenoError } from "../../../cowfs/errors.ts";
import { JsonClient } from "../../http/json-client.ts";
import type { TlsIdentity } from "../../identity/tls-identity.ts";
import type { MigrationId, SourceMessage } from "../protocol/messages.ts";
import { type FinalState, type MigrationOffer, memoryProtocol, type TargetAnswer } from "./messages.ts";
import type { Peer } from "./peer.ts";

/** The target makes a link, a kernel and an export meanwhile, on a busy host. */
const answerDeadlineMs = 120_000;

export class TargetClient {
  readonly peer: Peer;
  readonly #client: JsonClient;
  readonly #path: string;

  /** `server`: our own name, under which the target's operator trusts our key. */
  constructor(server: string, peer: Peer, identity: TlsIdentity) {
    this.peer = peer;
    this.#path = `/v1/peers/${server}/receptions`;
    this.#client = new JsonClient({
      endpoint: { url: peer.url, serverKey: peer.publicKey, identity },
      server: `XenoServer ${peer.name}`,
      hint: "it may be down, or out of reach: xeno server ls",
      patienceMs: 0,
      deadlineMs: answerDeadlineMs,
    });
  }

  /** Settles when the target is ready to receive. Rejects with why it does not take the domain. */
  async offer(offer: MigrationOffer, signal: AbortSignal): Promise<MigrationId> {
    const { migration } = await this.#client.request<{ migration: MigrationId }>({
      method: "POST",
      path: this.#path,
      body: offer,
      signal,
    });
    if (!/^[0-9a-f-]{36}$/.test(migration))
      throw new XenoError("answer-unknown", `${this.peer.name} names no migration`);
    return migration;
  }

  /** Settles when it is written there. */
  async sendFile(
    migration: MigrationId,
    path: string,
    file: string,
    bytes: number,
    signal: AbortSignal,
  ): Promise<void> {
    const content = bytes === 0 ? Buffer.alloc(0) : createReadStream(file, { end: bytes - 1, highWaterMark: 1 << 20 });
    const at = `${this.#path}/${migration}/files?path=${encodeURIComponent(path)}`;
    await this.#client.sendBytes(at, content, bytes, signal);
  }

  /** All of its journal was sent: the target opens it while memory is sent. One that is older does so when all is there. */
  async openRoot(migration: MigrationId, final: FinalState, signal: AbortSignal): Promise<void> {
    const request = { method: "PUT", path: `${this.#path}/${migration}/journal`, body: final, signal } as const;
    await this.#client.request(request).catch((error) => {
      if (!(error instanceof XenoError && error.code === "route-unknown")) throw error;
    });
  }

  /** Settles when the target takes it. */
  async openMemory(migration: MigrationId, signal: AbortSignal): Promise<Duplex> {
    return await this.#client.upgrade(`${this.#path}/${migration}/memory`, memoryProtocol, signal);
  }

  async say({ migration, kind }: SourceMessage, final: FinalState | undefined): Promise<TargetAnswer> {
    const body = kind === "final" ? { kind, final } : { kind };
    return await this.#client.request({ method: "POST", path: `${this.#path}/${migration}/messages`, body });
  }

  /** What the target has to say. */
  async listen(migration: MigrationId): Promise<TargetAnswer> {
    return await this.#client.request({ method: "GET", path: `${this.#path}/${migration}` });
  }

  async close(): Promise<void> {
    await this.#client.close();
  }
}
