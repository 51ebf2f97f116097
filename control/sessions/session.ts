/** What is kept of a session: one state file, replaced as a whole before anything that depends on it is done. */
import type { Deployment } from "../../xenod/daemon/deployment.ts";
import type { AssignedProgram, ProgramOutcome } from "../../xenod/programs/assignment.ts";
import type { OrderTexts } from "../orders/order.ts";
import type { Lease, SignedLease } from "./lease.ts";

/**
 * `active`: in force, and charged. `suspended`: nothing of it runs and nothing is charged; all is kept until `graceUntil`.
 * `ending`: its domains are being removed and its last charges sent. `ended`: nothing is left but this record.
 */
export type SessionState = "active" | "suspended" | "ending" | "ended";

/** Why it is not in force: its orders had run dry, its term was over, its client ended it, or the grace was over. */
export type SessionReason = "dry" | "term" | "client" | "grace";

export interface SessionOrder {
  readonly id: string;
  readonly corporation: string;
  readonly texts: OrderTexts;
  readonly expires: number;
  /** Validated online: the XenoCorp is told when it is not needed any more. */
  isValidated: boolean;
  isClosed: boolean;
  /** Micro-units that may still be charged, those of pending charges taken off. */
  left: number;
  /** The code with which its XenoCorp refused a charge. */
  problem?: string;
}

/** A charge that its XenoCorp has not answered yet. */
export interface PendingCharge {
  readonly id: string;
  readonly order: string;
  readonly amount: number;
  readonly used: unknown;
}

export interface SessionTask {
  /** Chosen by the client. */
  id: string;
  readonly kind: string;
  /** Of its deployment with Xenod, which remembers those of before: no other task ever has it. */
  readonly request: string;
  /** Of what was asked for: the same again is the same task. */
  hash: string;
  /** What of the session its domain takes; memory: what it was made with. */
  memoryMiB: number;
  cpuMsPerSecond: number;
  /** It named no memory: what nobody else has, it has when it next boots. */
  readonly takesRest?: boolean;
  /** See match-environment.ts. */
  readonly environment?: string;
  /** What Xenod is asked for, until it has answered. */
  deployment?: Deployment;
  /** Of the domain that runs it, once that is known. */
  domain?: string;
  /** Its domain is to run again: it ran when the session was suspended, or had ended when this task was matched to it. */
  isHeldBack?: boolean;
  /** The client ended it. */
  isEnding?: boolean;
  error?: { readonly code: string; readonly message: string };
}

/** A program inside of a domain of the session: see keep-programs.ts. */
export interface SessionProgram extends Omit<AssignedProgram, "id"> {
  /** Chosen by the client. */
  readonly id: string;
  readonly kind: string;
  /** What its domain knows it by: no other ever has it. */
  readonly request: string;
  readonly hash: string;
  /** The request of the task in whose domain it runs. */
  readonly within: string;
  /** The client ended it. */
  isEnding?: boolean;
  /** Once it has ended, as its guest says. */
  outcome?: ProgramOutcome;
  /** Why its domain cannot be told of it. */
  error?: { readonly code: string; readonly message: string };
}

export interface Session {
  readonly format: 1;
  readonly id: string;
  /** Of the key that may act. */
  readonly client: string;
  readonly machine: string;
  readonly created: number;
  lease: Lease;
  signed: SignedLease;
  state: SessionState;
  reason?: SessionReason;
  graceUntil?: number;
  /** Ms since the epoch: what was before is charged, or was not in force. */
  billedUntil: number;
  /** What of a micro-unit was left over: in micro-units times ms an hour. */
  carry: number;
  readonly orders: SessionOrder[];
  readonly pending: PendingCharge[];
  /** How many were made. */
  charges: number;
  /** Micro-units that XenoCorps have paid, and that they have refused. */
  paid: number;
  refused: number;
  readonly tasks: SessionTask[];
  /** None where it is missing. */
  programs?: SessionProgram[];
  /** How many there were. */
  taskCount: number;
  /** Its domains are as its state wants them. */
  isSettled: boolean;
  ended?: number;
}
