/** The source's client of the XenoServer that is to receive: TLS with both keys, as all of the API on TCP. */
import { createReadStream } from "node:fs";
import type { Duplex, Readable } from "node:stream";
import { XenoError } from "../../../cowfs/errors.ts";
import { JsonClient } from "../../http/json-client.ts";
import type { TlsIdentity } from "../../identity/tls-identity.ts";
import type { CheckpointFile, CheckpointTarget } from "../journal/send-checkpoints.ts";
import type { MigrationId, SourceMessage } from "../protocol/messages.ts";
import {
  type FinalState,
  type JournalEnd,
  type MigrationOffer,
  memoryProtocol,
  type TargetAnswer,
} from "./messages.ts";
import type { Peer } from "./peer.ts";

/** The target makes a link, a kernel and an export meanwhile, on a busy host. */
const answerDeadlineMs = 120_000;
/** What a XenoServer says that does not know the offer's format: before it had a word for that, that it is no valid request. */
const offerUnknown = new Set(["offer-unknown", "request-invalid"]);

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
    const request = { method: "POST", path: this.#path, body: offer, signal } as const;
    const { migration } = await this.#client.request<{ migration: MigrationId }>(request).catch((error) => {
      throw error instanceof XenoError && offerUnknown.has(error.code) ? this.#isOlder(offer, error) : error;
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
    const at = `${this.#path}/${migration}/files?path=${encodeURIComponent(path)}`;
    await this.#client.sendBytes(at, readPart(file, bytes), bytes, signal);
  }

  /** The rest of its journal: the target opens it while memory is sent. */
  async endJournal(migration: MigrationId, body: JournalEnd, signal: AbortSignal): Promise<void> {
    await this.#client.request({ method: "PUT", path: `${this.#path}/${migration}/journal`, body, signal });
  }

  /** Settles when the target takes it. */
  async openMemory(migration: MigrationId, signal: AbortSignal): Promise<Duplex> {
    return await this.#client.upgrade(`${this.#path}/${migration}/memory`, memoryProtocol, signal);
  }

  /** How the target is told of checkpoints. */
  checkpointsOf(migration: MigrationId, signal: AbortSignal): CheckpointTarget {
    const client = this.#client;
    const at = ({ checkpoint, path }: CheckpointFile) =>
      `${this.#path}/${migration}/checkpoints/${checkpoint}/files?path=${encodeURIComponent(path)}`;
    return {
      sendFile: (file, from, bytes) => client.sendBytes(at(file), readPart(from, bytes), bytes, signal),
      async linkFile(file, same) {
        const named = `&sameCheckpoint=${same.checkpoint}&samePath=${encodeURIComponent(same.path)}`;
        await client.sendBytes(`${at(file)}${named}`, Buffer.alloc(0), 0, signal);
      },
      keep: async (manifest, files) => {
        const path = `${this.#path}/${migration}/checkpoints/${manifest.number}`;
        await client.request({ method: "PUT", path, body: { manifest, files }, signal });
      },
    };
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

  #isOlder({ format }: MigrationOffer, cause: XenoError): XenoError {
    const { name } = this.peer;
    return new XenoError(
      "offer-unknown",
      `XenoServer ${name} takes no offers of format ${format}: it is older than this one`,
      { hint: `upgrade ${name} first`, cause },
    );
  }
}

function readPart(file: string, bytes: number): Readable | Buffer {
  return bytes === 0 ? Buffer.alloc(0) : createReadStream(file, { end: bytes - 1, highWaterMark: 1 << 20 });
}
