/** Kills an NFS server under load, again and again: everything that it has answered is there, and was done once. */
import fs from "node:fs";
import path from "node:path";
import { verifyJournal } from "../../../../cowfs/journals/verify-journal.ts";
import { createRandom } from "../../../random.ts";
import { makeFastDirectory } from "../../fast-directory.ts";
import { nfs } from "../client.ts";
import { encode } from "../encoder.ts";
import { attributes, readNewObject } from "../results.ts";
import { KilledServer } from "./server.ts";
import { SteadyClient } from "./steady-client.ts";
import { Worker } from "./worker.ts";

export interface KillOptions {
  readonly seed: number;
  readonly kills: number;
  /** Each has a connection of its own, and one request under way. */
  readonly clients: number;
  /** A life of the server ends after so many requests, at most. */
  readonly requests: number;
  readonly count: (what: string, by?: number) => void;
}

/** Rejects with what was lost, or done twice. */
export async function killServer({ seed, kills, clients, requests, count }: KillOptions): Promise<void> {
  const random = createRandom(seed);
  const scratch = makeFastDirectory();
  const journal = path.join(scratch, "journal");
  const server = new KilledServer(journal);
  const steady = Array.from({ length: clients }, (_, index) => {
    return new SteadyClient(server, createRandom(random(2 ** 31)), (index + 1) * 2 ** 24, count);
  });
  try {
    const root = await mount(steady[0]);
    const workers: Worker[] = [];
    for (const [index, client] of steady.entries()) {
      const args = encode()
        .opaque(root)
        .string(`client ${index}`)
        .raw(attributes({ mode: 0o755 }));
      const { handle } = readNewObject(await client.call(nfs.mkdir, args));
      workers.push(new Worker(client, createRandom(random(2 ** 31)), handle));
    }
    const load = new Load(workers, count);
    for (let kill = 0; kill < kills; kill++) {
      await load.after(1 + random(requests));
      // Somewhere within a request, a sync or a round.
      const end = performance.now() + random(2000) / 1000;
      while (performance.now() < end);
      await server.killAndStart();
      count("kills");
    }
    await load.after(requests / 10);
    await load.end();
    for (const worker of workers) await worker.checkAll();
    await server.kill();
    if (server.errors.length > 0) throw new Error(server.errors.join("\n"));
    const { damage } = await verifyJournal(journal, { signal: new AbortController().signal });
    if (damage.length > 0) throw new Error(damage.join("\n"));
  } finally {
    for (const client of steady) client.close();
    await server.kill();
    fs.rmSync(scratch, { recursive: true, force: true });
  }
}

/** Workers that work until they are told to end, or one fails. */
class Load {
  readonly #count: (what: string, by?: number) => void;
  readonly #running: Promise<unknown>;
  #isEnding = false;
  #done = 0;
  #waiter: { at: number; resolve: () => void } | undefined;

  constructor(workers: readonly Worker[], count: (what: string, by?: number) => void) {
    this.#count = count;
    this.#running = Promise.all(workers.map((worker) => this.#work(worker)));
    // Told to whoever waits.
    this.#running.catch(() => {});
  }

  /** Settles when so many more requests are done. Rejects when one has failed. */
  async after(requests: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiter = { at: this.#done + requests, resolve };
    await Promise.race([promise, this.#running]);
  }

  async end(): Promise<void> {
    this.#isEnding = true;
    await this.#running;
  }

  async #work(worker: Worker): Promise<void> {
    while (!this.#isEnding) {
      await worker.act();
      this.#done++;
      this.#count("requests");
      if (this.#waiter !== undefined && this.#done >= this.#waiter.at) this.#waiter.resolve();
    }
  }
}

async function mount(client: SteadyClient): Promise<Buffer> {
  const results = await client.call(1, encode().string("/"), 100005);
  if (results.u32() !== 0) throw new Error("MNT is refused");
  return results.opaque();
}
