/**
 * The environment manager (control paper, section V-B): what a XenoServer is to its clients. It offers leases, takes orders for
 * them, has Xenod run what is deployed in a session, and charges for it.
 *
 * - (N1) A session is in force by a lease that both signed (E1), and by an order that its client spent with this XenoServer.
 * - (N2) What is on stable storage is what counts: each change is kept before it is answered or acted upon, and whatever was
 *   begun is taken up again from there.
 * - (N3) A lease is given only for what there is room for, what others were promised taken off (R1); one after the other.
 * - (N4) Only the key that the lease names sees the session, or does anything in it.
 * - (N5) What concerns one session happens one after the other.
 */
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { XenoError } from "../../cowfs/errors.ts";
import { SerialQueues } from "../../xenod/serial-queues.ts";
import type { SigningKey } from "../../xenostore/keys/key-ring.ts";
import { importPublicKey, type PublicJwk } from "../credentials/public-key.ts";
import type { OrderTexts } from "../orders/order.ts";
import { AcceptedCorporations } from "./accepted-corporations.ts";
import type { SessionsConfiguration } from "./configuration.ts";
import { findKernel, resourcesOf } from "./environments.ts";
import { readProgramOutput } from "./keep-programs.ts";
import { type Lease, offerLease, offerMs, type SignedLease, verifyLease } from "./lease.ts";
import { endSession, extendGrace, resumeIfPaid } from "./life-cycle.ts";
import type { Machine } from "./machines.ts";
import { measureUse } from "./measure-use.ts";
import { bill } from "./meter.ts";
import { priceOf } from "./prices.ts";
import { PromisedRoom } from "./promised-room.ts";
import type { Requirements } from "./requirements/requirements.ts";
import type { Session } from "./session.ts";
import { SessionCaretaker } from "./session-caretaker.ts";
import { SessionFiles } from "./session-files.ts";
import {
  type AskedTask,
  type DeployedTask,
  deployTask,
  findTask,
  type TaskPlacing,
  withdrawGrowth,
} from "./session-tasks.ts";
import { requireFits, shareProcessors } from "./share-out.ts";
import { type OrderTaking, takeOrder } from "./take-order.ts";

export interface ManagerOptions {
  readonly configuration: SessionsConfiguration;
  readonly key: SigningKey;
  readonly stateDirectory: string;
  readonly machines: readonly Machine[];
  readonly now?: () => number;
  /** See SessionFiles. */
  onSave?(session: Session, moment: "before" | "after"): void;
  log(text: string): void;
}

/** Who asks, as it has proved. */
export interface Caller {
  readonly keyId: string;
  readonly publicKey: PublicJwk;
}

export interface AskedOffer {
  readonly requirements: Requirements;
  readonly termMs: number;
  /** For a further lease of this session. */
  readonly session?: string;
}

const maxOrders = 64;

export class EnvironmentManager {
  readonly options: ManagerOptions;
  readonly corporations: AcceptedCorporations;
  readonly sessions: SessionFiles;
  readonly rooms: PromisedRoom;
  readonly now: () => number;
  readonly #queues = new SerialQueues();
  readonly #caretaker: SessionCaretaker;

  /** Takes up what an earlier life left. */
  static async open(options: ManagerOptions): Promise<EnvironmentManager> {
    const manager = new EnvironmentManager(options);
    await manager.corporations.load();
    await manager.sessions.load();
    for (const session of manager.sessions.list()) extendGrace(session, manager.now());
    return manager;
  }

  private constructor(options: ManagerOptions) {
    const { configuration, key, stateDirectory, machines, now = Date.now, log } = options;
    const { corporations: accepted, name, chargeSeconds = 60 } = configuration;
    this.options = options;
    this.now = now;
    this.corporations = new AcceptedCorporations({ accepted, name, key, stateDirectory, now });
    this.sessions = new SessionFiles(join(stateDirectory, "sessions"), options.onSave);
    this.rooms = new PromisedRoom(machines, this.sessions);
    this.#caretaker = new SessionCaretaker({
      ...{ corporations: this.corporations, rooms: this.rooms, chargeMs: chargeSeconds * 1000, now, log },
      save: (session) => this.sessions.save(session),
    });
  }

  /**
   * An offer that the caller may accept within two minutes. Throws `environment-unknown`, `kernel-unknown`, `term-invalid`,
   * `room-short`, and for a further lease `session-unknown`, `session-ended`.
   */
  async offer({ keyId }: Caller, { requirements, termMs, session: id }: AskedOffer): Promise<string> {
    const {
      environments,
      prices,
      currency,
      graceSeconds = 86_400,
      maxTermSeconds = 2_592_000,
    } = this.options.configuration;
    const known = id === undefined ? undefined : this.#requireOpen(id, keyId);
    findKernel(environments, requirements);
    if (termMs > maxTermSeconds * 1000)
      throw new XenoError("term-invalid", `a term is at most ${maxTermSeconds} s here`, {
        hint: "ask for less, and renew the session",
      });
    const resources = resourcesOf(requirements);
    const { load } = await this.rooms.find(resources, known);
    const now = this.now();
    const lease: Lease = {
      session: known?.id ?? randomUUID(),
      number: (known?.lease.number ?? 0) + 1,
      server: this.options.key.id,
      client: keyId,
      requirements,
      resources,
      currency,
      pricePerHour: priceOf(prices, resources, load),
      starts: known?.lease.starts ?? now,
      ends: now + termMs,
      graceMs: graceSeconds * 1000,
      acceptUntil: now + offerMs,
    };
    return await offerLease(lease, this.options.key);
  }

  /** Begins the session that an accepted offer tells of. Sent again, it is the same. Throws as `takeOrder`, and `room-short`. */
  async create(caller: Caller, signed: SignedLease, texts: OrderTexts): Promise<Session> {
    const lease = await this.#verify(caller, signed);
    return await this.#queues.run(lease.session, async () => {
      const known = this.sessions.find(lease.session);
      if (known?.signed.offer === signed.offer) return known;
      if (known !== undefined || lease.number !== 1) throw overtaken();
      this.#requireInTime(lease);
      using place = await this.rooms.promise(lease);
      const order = await takeOrder(texts, lease, this.#taking());
      const now = this.now();
      const { machine } = place;
      const session: Session = {
        ...{ format: 1, id: lease.session, client: lease.client, machine, created: now, lease, signed },
        ...{ state: "active", billedUntil: now, carry: 0, orders: [order], pending: [], charges: 0 },
        ...{ paid: 0, refused: 0, tasks: [], taskCount: 0, isSettled: true },
      };
      await this.sessions.save(session);
      return session;
    });
  }

  /** Renews or changes a session by a further lease, which its domains are resized to. Throws `offer-overtaken`, `session-short`, `room-short`, `session-ended`. */
  async amend(caller: Caller, signed: SignedLease): Promise<Session> {
    const lease = await this.#verify(caller, signed);
    return await this.#queues.run(lease.session, async () => {
      const session = this.#requireOpen(lease.session, caller.keyId);
      if (session.signed.offer === signed.offer) return session;
      if (lease.number !== session.lease.number + 1) throw overtaken();
      this.#requireInTime(lease);
      await withdrawGrowth(session, this.#placing(session));
      requireFits(session, lease);
      using _place = await this.rooms.promise(lease, session);
      const now = this.now();
      bill(session, now, await this.#measureUse(session));
      session.lease = lease;
      session.signed = signed;
      shareProcessors(session);
      session.isSettled = false;
      resumeIfPaid(session, now);
      await this.sessions.save(session);
      return session;
    });
  }

  /** Pays on with another order. The same again is the same. */
  async topUp({ keyId }: Caller, id: string, texts: OrderTexts): Promise<Session> {
    return await this.#queues.run(id, async () => {
      const session = this.#requireOpen(id, keyId);
      if (session.orders.some((order) => isDeepStrictEqual(order.texts, texts))) return session;
      if (session.orders.length >= maxOrders)
        throw new XenoError("orders-full", `a session takes ${maxOrders} orders`, { hint: "begin another session" });
      const order = await takeOrder(texts, session.lease, this.#taking());
      if (session.orders.some((known) => known.id === order.id))
        throw new XenoError("order-used", `the order ${order.id} pays this session already`, { hint: "bring another" });
      session.orders.push(order);
      resumeIfPaid(session, this.now());
      await this.sessions.save(session);
      return session;
    });
  }

  /** Has a task run. Sent again with its id, it is the same. Throws `session-suspended`, `task-conflict`, what Xenod refuses. */
  async deploy({ keyId }: Caller, id: string, asked: AskedTask): Promise<DeployedTask> {
    return await this.#queues.run(id, async () => {
      const session = this.#requireOpen(id, keyId);
      return await deployTask(session, asked, this.#placing(session));
    });
  }

  /** Ends a task: its domain is removed, with what it wrote; a program is killed, and its output forgotten. Throws `task-unknown`. */
  async endTask({ keyId }: Caller, id: string, taskId: string): Promise<Session> {
    return await this.#queues.run(id, async () => {
      const session = this.#requireOpen(id, keyId);
      const task = findTask(session, taskId);
      if (task.isEnding) return session;
      task.isEnding = true;
      session.isSettled = false;
      await this.sessions.save(session);
      return session;
    });
  }

  /** For good: what is left of its orders returns. Ended already, nothing happens. */
  async end({ keyId }: Caller, id: string): Promise<Session> {
    return await this.#queues.run(id, async () => {
      const session = this.sessions.get(id, keyId);
      if (session.state === "ending" || session.state === "ended") return session;
      bill(session, this.now(), await this.#measureUse(session));
      endSession(session, "client");
      await this.sessions.save(session);
      return session;
    });
  }

  /** The end of what a task's guest, or a program, printed. Throws `task-unknown`, `domain-unknown`, `domain-stopped`. */
  async readLog(client: string, id: string, taskId: string, bytes: number): Promise<string> {
    const session = this.sessions.get(id, client);
    const task = findTask(session, taskId);
    const machine = this.rooms.machineOf(session);
    if ("within" in task) return await readProgramOutput(session, task, machine, bytes);
    const { domain: name, request: deployment } = task;
    return name === undefined ? "" : await machine.client.logOf({ name, deployment }, bytes);
  }

  /** What is due for every session: time passes, charges are sent, domains follow. Call it every second or so. */
  async tick(): Promise<void> {
    const open = this.sessions.list().filter(({ state }) => state !== "ended");
    await Promise.all(open.map((session) => this.#queues.run(session.id, () => this.#caretaker.look(session))));
  }

  async idle(): Promise<void> {
    await this.#queues.idle();
  }

  #measureUse(session: Session) {
    return measureUse(session, this.rooms.machineOf(session));
  }

  #placing(session: Session): TaskPlacing {
    const { environments } = this.options.configuration;
    const save = (changed: Session) => this.sessions.save(changed);
    return { machine: this.rooms.machineOf(session), environments, save };
  }

  #taking(): OrderTaking {
    return { corporations: this.corporations, sessions: this.sessions.list(), now: this.now() };
  }

  async #verify({ keyId, publicKey }: Caller, signed: SignedLease): Promise<Lease> {
    const client = await importPublicKey(publicKey);
    return await verifyLease(signed, { server: this.options.key.verifyKey, client, clientId: keyId });
  }

  #requireInTime(lease: Lease): void {
    if (this.now() < lease.acceptUntil) return;
    throw new XenoError("offer-expired", "this offer was for two minutes", { hint: "ask for another one" });
  }

  #requireOpen(id: string, client: string): Session {
    const session = this.sessions.get(id, client);
    if (session.state === "active" || session.state === "suspended") return session;
    throw new XenoError("session-ended", `the session ${id} is ${session.state}`, { hint: "begin another one" });
  }
}

function overtaken(): XenoError {
  return new XenoError("offer-overtaken", "this offer was overtaken by another lease of the session", {
    hint: "ask for another one",
  });
}
