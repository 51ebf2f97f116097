/**
 * What is due for a session: time passes, charges are sent, its domains follow, and it ends. Each look does what it can; what does
 * not work now is tried again at the next.
 */
import type { AcceptedCorporations } from "./accepted-corporations.ts";
import { DomainKeeper } from "./keep-domains.ts";
import { hasProgramsUnderWay, keepPrograms } from "./keep-programs.ts";
import { advance } from "./life-cycle.ts";
import { measureUse } from "./measure-use.ts";
import { whenDue } from "./meter.ts";
import type { PromisedRoom } from "./promised-room.ts";
import { closeOrders, sendCharges } from "./send-charges.ts";
import type { Session } from "./session.ts";

export interface LookingAfter {
  readonly corporations: AcceptedCorporations;
  readonly rooms: PromisedRoom;
  /** Between two charges. */
  readonly chargeMs: number;
  save(session: Session): Promise<void>;
  now(): number;
  log(text: string): void;
}

export class SessionCaretaker {
  readonly #options: LookingAfter;
  readonly #keeper: DomainKeeper;

  constructor(options: LookingAfter) {
    this.#options = options;
    this.#keeper = new DomainKeeper(options);
  }

  /** One after the other for one session. */
  async look(session: Session): Promise<void> {
    const { rooms, save, now } = this.#options;
    if (session.pending.length > 0) await this.#try(session, () => sendCharges(session, this.#options));
    // No charge is made while another waits, until the money or the term is over: a XenoCorp that was away gets one for all of it.
    const chargeMs = session.pending.length > 0 ? Number.POSITIVE_INFINITY : this.#options.chargeMs;
    const isDue = session.state === "active" && now() >= whenDue(session, chargeMs);
    const used = isDue ? await measureUse(session, rooms.machineOf(session)) : undefined;
    if (advance(session, now(), chargeMs, used)) {
      await save(session);
      await this.#try(session, () => sendCharges(session, this.#options));
    }
    if (!session.isSettled) await this.#try(session, () => this.#keeper.keep(session, rooms.machineOf(session)));
    if (hasProgramsUnderWay(session))
      await this.#try(session, () => keepPrograms(session, { machine: rooms.machineOf(session), save }));
    if (session.state === "ending" && session.isSettled && session.pending.length === 0)
      await this.#try(session, () => this.#conclude(session));
  }

  async #conclude(session: Session): Promise<void> {
    await closeOrders(session, this.#options);
    session.state = "ended";
    session.ended = this.#options.now();
    await this.#options.save(session);
  }

  async #try(session: Session, act: () => Promise<void>): Promise<void> {
    await act().catch((error) => this.#options.log(`session ${session.id}: ${(error as Error).message}`));
  }
}
