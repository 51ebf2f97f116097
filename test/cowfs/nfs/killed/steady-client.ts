/**
 * A client as Linux's is with a hard mount: it sends a request until it is answered, over any number of connections, with
 * the same xid (RFC 1813 section 4.6). And a spiteful one: it sends some twice, and some again long after their answer.
 *
 * Whatever is sent again must get the very bytes that it got first.
 */
import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import type { Random } from "../../../random.ts";
import { acceptedResults, type Client, connect, encodeCall, mark, nfs } from "../client.ts";
import type { Decoder, Encoder } from "../encoder.ts";
import type { KilledServer } from "./server.ts";

/** Those whose answers are remembered: they change something. */
const remembered: readonly number[] = [
  nfs.setattr,
  nfs.write,
  nfs.create,
  nfs.mkdir,
  nfs.symlink,
  nfs.remove,
  nfs.rmdir,
  nfs.rename,
  nfs.link,
];
const jukebox = 10008;
const answersKept = 100;

interface Answered {
  readonly request: Buffer;
  readonly answer: Buffer;
}

export class SteadyClient {
  readonly #server: KilledServer;
  readonly #random: Random;
  readonly #count: (what: string, by?: number) => void;
  #client: Client | undefined;
  #isClosed = false;
  #xid: number;
  /** The last changes, by xid. */
  readonly #answers = new Map<number, Answered>();

  constructor(server: KilledServer, random: Random, firstXid: number, count: (what: string, by?: number) => void) {
    this.#server = server;
    this.#random = random;
    this.#xid = firstXid;
    this.#count = count;
  }

  /** Its results; of NFS procedures they begin with a status, which is never JUKEBOX. */
  async call(procedure: number, args: Encoder, program?: number): Promise<Decoder> {
    for (;;) {
      const xid = this.#xid++;
      const request = mark(encodeCall(procedure, args.take(), { xid, program }));
      const isChange = program === undefined && remembered.includes(procedure);
      const answer = await this.#sendUntilAnswered(request, xid, isChange);
      const results = acceptedResults(answer);
      if (results.bytes.readUInt32BE(results.position) !== jukebox) return results;
      await delay(100);
    }
  }

  /** Sends one of the last changes once more, whose answer has long been taken. */
  async repeatOld(): Promise<void> {
    const all = [...this.#answers];
    if (all.length === 0) return;
    const [xid, { request }] = all[this.#random(all.length)];
    await this.#sendUntilAnswered(request, xid, true);
    this.#count("old requests");
  }

  /** What is under way rejects. */
  close(): void {
    this.#isClosed = true;
    this.#client?.close();
  }

  async #sendUntilAnswered(request: Buffer, xid: number, isChange: boolean): Promise<Buffer> {
    for (;;) {
      const client = await this.#connect();
      client.send(request);
      if (isChange && this.#random(6) === 0) client.send(request);
      try {
        const answer = await client.reply(xid);
        if (isChange) this.#remember(xid, { request, answer });
        this.#compareAll(client);
        return answer;
      } catch (error) {
        if (!client.isClosed || error instanceof assert.AssertionError) throw error;
        this.#client = undefined;
        this.#count("requests sent again");
      }
    }
  }

  async #connect(): Promise<Client> {
    while (this.#client === undefined) {
      if (this.#isClosed) throw new Error("the client was closed");
      const port = await this.#server.port;
      // It may be dead by now.
      this.#client = await connect(port).catch(() => undefined);
      if (this.#client === undefined) await delay(20);
    }
    return this.#client;
  }

  #compareAll(client: Client): void {
    for (const record of client.records) {
      const known = this.#answers.get(record.readUInt32BE());
      if (known !== undefined)
        assert.deepEqual(record, known.answer, "a request that was sent again got another answer");
    }
    client.records.length = 0;
  }

  #remember(xid: number, answered: Answered): void {
    if (this.#answers.has(xid)) return;
    this.#answers.set(xid, answered);
    if (this.#answers.size > answersKept) this.#answers.delete(this.#answers.keys().next().value!);
  }
}
