/**
 * A node of the information service: XenoServers advertise at any of them, clients look up at any of them, and each asks its
 * peers now and then for what it has not seen. Any may die: the others have what it had, and XenoServers advertise anew.
 *
 * It trusts nobody: every advertisement is verified here, whoever passed it on. A peer that lies can only leave things out.
 */
import { setTimeout as delay } from "node:timers/promises";
import PQueue from "p-queue";
import { type Advertisement, verifyAdvertisement } from "./advertisement.ts";
import { InformationClient } from "./client.ts";
import { InvertedFile } from "./inverted-file.ts";

export interface NodeOptions {
  /** Addresses of other nodes. */
  readonly peers: readonly string[];
  /** How often peers are asked and old advertisements are discarded. */
  readonly intervalMs: number;
  readonly now?: () => number;
  log(text: string): void;
}

/** Signatures of one answer are verified in the background of what else is asked. */
const verifiedAtOnce = 16;
const maxPages = 3000;

export class InformationNode {
  readonly file = new InvertedFile();
  readonly #options: NodeOptions;
  readonly #now: () => number;
  readonly #ended = new AbortController();
  /** By peer: which life of it, and how far it was read. */
  readonly #seen = new Map<string, { readonly life: string; readonly sequence: number }>();
  #running: Promise<void> | undefined;
  /** A peer that starts again counts from 1 again. */
  readonly life = crypto.randomUUID();

  constructor(options: NodeOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /** From now on asks peers and discards. */
  start(): void {
    this.#running ??= this.#run();
  }

  async end(): Promise<void> {
    this.#ended.abort();
    await this.#running;
  }

  /** Throws `signature-invalid`, `advertisement-stale`, `information-full`. */
  async advertise(text: string): Promise<{ server: string; isNew: boolean }> {
    const advertisement = await verifyAdvertisement(text, this.#now());
    return { server: advertisement.server, isNew: this.file.take(advertisement) };
  }

  find(server: string): Advertisement | undefined {
    return this.file.find(server);
  }

  /** Asks every peer once. Settles when all have answered, or did not. */
  async askPeers(): Promise<void> {
    const { peers, log } = this.#options;
    const ask = (peer: string) =>
      this.#askPeer(peer).catch((error) => log(`peer ${peer}: ${(error as Error).message}`));
    await Promise.all(peers.map(ask));
  }

  async #askPeer(peer: string): Promise<void> {
    const client = new InformationClient(peer);
    const verifying = new PQueue({ concurrency: verifiedAtOnce });
    for (let page = 0; page < maxPages && !this.#ended.signal.aborted; page++) {
      const seen = this.#seen.get(peer);
      const { life, changes } = await client.listChanges(seen?.sequence ?? 0);
      // It counts anew: what was read of this page was of another count.
      if (seen !== undefined && seen.life !== life) {
        this.#seen.delete(peer);
        continue;
      }
      if (changes.length === 0) return;
      await Promise.all(changes.map(({ text }) => verifying.add(() => this.advertise(text).catch(() => undefined))));
      this.#seen.set(peer, { life, sequence: changes.at(-1)!.sequence });
    }
  }

  async #run(): Promise<void> {
    const { signal } = this.#ended;
    while (!signal.aborted) {
      await this.askPeers();
      while (this.file.discardExpired(this.#now()) > 0) await delay(0);
      await delay(this.#options.intervalMs, undefined, { signal }).catch(() => {});
    }
  }
}
