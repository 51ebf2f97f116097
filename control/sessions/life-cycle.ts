/**
 * How a session's state changes with time, money and its client's word: changes of the record alone. What they mean for its
 * domains is done afterwards, as often as it takes (keep-domains.ts).
 *
 * - (G1) What was suspended is kept for the whole grace from when it was suspended, and from when this XenoServer was last
 *   started: its client could not renew while nobody answered.
 */
import { bill, isDry, whenDue } from "./meter.ts";
import type { Session, SessionReason } from "./session.ts";

/** What time has brought about by `now`; whether the record has changed. */
export function advance(session: Session, now: number, chargeMs: number, used: unknown): boolean {
  if (session.state === "suspended") {
    if (now < session.graceUntil!) return false;
    endSession(session, "grace");
    return true;
  }
  if (session.state !== "active" || now < whenDue(session, chargeMs)) return false;
  bill(session, now, used);
  if (now >= session.lease.ends) suspend(session, "term", now);
  else if (isDry(session, now)) suspend(session, "dry", now);
  return true;
}

/** A suspended session whose term goes on, and which can pay, is in force again. */
export function resumeIfPaid(session: Session, now: number): void {
  if (session.state !== "suspended" || now >= session.lease.ends || isDry(session, now)) return;
  session.state = "active";
  session.reason = undefined;
  session.graceUntil = undefined;
  session.billedUntil = now;
  session.carry = 0;
  session.isSettled = false;
}

/** For good. What was in force until now is to be billed before. */
export function endSession(session: Session, reason: SessionReason): void {
  session.state = "ending";
  session.reason = reason;
  session.graceUntil = undefined;
  session.isSettled = false;
}

/** (G1) */
export function extendGrace(session: Session, now: number): void {
  if (session.state !== "suspended") return;
  session.graceUntil = Math.max(session.graceUntil!, now + session.lease.graceMs);
}

function suspend(session: Session, reason: SessionReason, now: number): void {
  session.state = "suspended";
  session.reason = reason;
  session.graceUntil = now + session.lease.graceMs;
  session.isSettled = false;
}
