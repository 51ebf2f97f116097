/**
 * Runs procedures and answers them.
 *
 * (E1) A change runs in one transaction with its reply, under its request's key; what was done under that key is never
 *      done again (DESIGN 5 "Exactly once").
 * (E2) A request that faults is parked with a copy of its message, and run again from the start when its needs are here.
 *      The first to end it wins: an answer, the JUKEBOX time, or the end of its connection. After that it never runs.
 */
import { FileSystemError } from "../errors.ts";
import { Fault, type Need } from "../fault.ts";
import type { FileSystem, RequestKey } from "../file-system.ts";
import { Replies } from "../journals/replies.ts";
import type { Connection } from "./connection.ts";
import { Lacks } from "./lacks.ts";
import { Needs } from "./needs.ts";
import type { Procedure, Request, Service } from "./procedures/procedure.ts";
import { computeRequestKey } from "./request-key.ts";
import type { Call } from "./rpc/call.ts";
import { Accept, writeAccepted } from "./rpc/reply.ts";
import { NfsError, Status, statusOf } from "./status.ts";
import type { Turn } from "./turn.ts";
import { WaitingRequest, type WaitingRequests } from "./waiting.ts";
import { type Memory, viewMemory, XdrError, type XdrReader, XdrWriter } from "./xdr.ts";

/** An operation that faults this often makes no progress: its data is evicted faster than it comes. */
const maxRounds = 100;
/** The longest reply of a change: a handle, attributes and a wcc_data, or two wcc_data. */
const changeReplyBytes = 1024;

export interface ExecutionOptions {
  readonly service: Service;
  readonly turn: Turn;
  readonly waiting: WaitingRequests;
  readonly jukeboxMs: number;
  /** After how long data that cannot be had is NFS3ERR_IO, in ms; before, it is JUKEBOX, and the client tries again. */
  readonly ioErrorAfterMs: number;
  /** See ExportOptions. */
  readonly unsafeAsync: boolean;
  onFetchFailed(procedure: string, error: unknown): void;
  onInternalError(what: string, error: unknown): void;
}

/** A received message, in bytes `start` to `end` of a memory; `parked` when it is not run for the first time. */
export interface Message {
  readonly connection: Connection;
  readonly memory: Memory;
  readonly start: number;
  readonly end: number;
  readonly parked: ParkedRequest | undefined;
}

/** A request that waits for data, with its own copy of the message. */
export class ParkedRequest extends WaitingRequest {
  readonly memory: Memory;
  readonly procedure: Procedure;
  /** What it waits for now. */
  needs: readonly Need[] = [];

  constructor(message: Message, xid: number, key: RequestKey | undefined, procedure: Procedure) {
    const bytes = Buffer.from(message.memory.bytes.subarray(message.start, message.end));
    super(message.connection, xid, key, bytes.length);
    this.memory = viewMemory(bytes);
    this.procedure = procedure;
  }
}

export class Execution {
  bootEpoch = 0;
  /** Whether a change was made, and may be asked for again, in this life of the guest. */
  isEpochUsed = false;
  repeats = 0;
  parked = 0;
  jukebox = 0;

  readonly #options: ExecutionOptions;
  readonly #service: Service;
  readonly #fileSystem: FileSystem;
  readonly #runAgain: (parked: ParkedRequest) => void;
  readonly #needs = new Needs();
  readonly #lacks = new Lacks();
  /**
   * The failures of recent changes, so that a retransmission gets the same one. They changed nothing, so they are not in the
   * journal: after a restart such a request runs again.
   */
  readonly #errorReplies = new Replies(4096);
  readonly #request: Request;
  /** The change that runs, for `#runChange`; where its reply is written before it is recorded. */
  #change: Procedure | undefined;
  #changeArguments: XdrReader | undefined;
  readonly #body = new XdrWriter();
  readonly #bodyMemory = viewMemory(Buffer.alloc(changeReplyBytes));

  constructor(options: ExecutionOptions, runAgain: (parked: ParkedRequest) => void) {
    this.#options = options;
    this.#service = options.service;
    this.#fileSystem = options.service.fileSystem;
    this.#runAgain = runAgain;
    const caller = { uid: 65534, gid: 65534, groups: [] };
    const peer = { host: "", port: 0, localPort: 0 };
    this.#request = { caller, peer, first: -1, second: -1, stable: true };
  }

  /** A new life of the guest: what it sent in the one before is no longer repeated. */
  startEpoch(bootEpoch: number): void {
    this.bootEpoch = bootEpoch;
    this.isEpochUsed = false;
    this.#errorReplies.clear();
  }

  /** Runs a procedure; `args` stands at its arguments. */
  run(message: Message, procedure: Procedure, call: Call, args: XdrReader): void {
    const request = this.#request;
    request.caller = call.caller;
    request.peer = message.connection.peer;
    request.first = -1;
    request.second = -1;
    request.stable = procedure.effect !== "change" || !this.#options.unsafeAsync;
    if (procedure.effect === "none") this.#answer(message, procedure, call.xid, args);
    else this.#perform(message, procedure, call, args);
  }

  /** A procedure without effect: its reply is written where it will be sent from. */
  #answer(message: Message, procedure: Procedure, xid: number, args: XdrReader): void {
    const { connection, parked } = message;
    const writer = connection.replies.begin();
    writeAccepted(writer, xid, Accept.success);
    try {
      procedure.run(this.#service, this.#request, args, writer);
    } catch (thrown) {
      connection.replies.restart();
      if (thrown instanceof Fault) {
        this.#park(message, procedure, xid, undefined, thrown);
        return;
      }
      this.#writeFailure(procedure, xid, thrown, writer);
    }
    if (parked !== undefined) this.#options.waiting.finish(parked);
    this.#send(connection);
  }

  /** A change, or COMMIT. */
  #perform(message: Message, procedure: Procedure, call: Call, args: XdrReader): void {
    const { connection, parked } = message;
    const isChange = procedure.effect === "change";
    const xid = call.xid;
    const key = isChange ? computeRequestKey(this.bootEpoch, call, message.memory, message.end) : undefined;
    if (key !== undefined && parked === undefined && this.#isRepeat(connection, xid, key)) return;
    if (isChange) this.isEpochUsed = true;
    this.#change = procedure;
    this.#changeArguments = args;
    let body: Buffer;
    try {
      body = isChange ? this.#fileSystem.transact(key, this.#runChange) : this.#runChange();
    } catch (thrown) {
      if (thrown instanceof Fault) {
        this.#park(message, procedure, xid, key, thrown);
        return;
      }
      if (parked !== undefined) this.#options.waiting.finish(parked);
      this.#answerFailure(connection, procedure, xid, key, thrown);
      return;
    }
    if (parked !== undefined) this.#options.waiting.finish(parked);
    if (this.#request.stable) {
      this.#answerAfterSync(connection, xid, key, body);
      return;
    }
    this.#answerBody(connection, xid, body);
    if (this.#options.unsafeAsync) this.#options.turn.syncLater();
  }

  /** Runs the change and copies its reply out: the file system keeps that copy. */
  readonly #runChange = (): Buffer => {
    const body = this.#body;
    body.attach(this.#bodyMemory, 0, changeReplyBytes);
    this.#change!.run(this.#service, this.#request, this.#changeArguments!, body);
    return Buffer.from(body.bytes.subarray(0, body.position));
  };

  /** Answers what is no new request. */
  #isRepeat(connection: Connection, xid: number, key: RequestKey): boolean {
    const { waiting } = this.#options;
    const underWay = waiting.find(key);
    const done = underWay === undefined ? this.#fileSystem.findReply(key) : undefined;
    const failed = underWay === undefined && done === undefined ? this.#errorReplies.get(key) : undefined;
    if (underWay !== undefined) waiting.move(underWay, connection);
    // Done, but perhaps not yet on stable storage: the first answer may never have left.
    else if (done !== undefined) this.#answerAfterSync(connection, xid, key, done);
    else if (failed !== undefined) this.#answerBody(connection, xid, failed);
    else return false;
    this.repeats++;
    return true;
  }

  #answerAfterSync(connection: Connection, xid: number, key: RequestKey | undefined, body: Buffer): void {
    const { turn, waiting } = this.#options;
    const held = new WaitingRequest(connection, xid, key, body.length);
    waiting.add(held);
    turn.afterSync(() => {
      if (held.isDone) return;
      waiting.finish(held);
      this.#answerBody(held.connection, xid, body);
    });
  }

  #answerBody(connection: Connection, xid: number, body: Buffer): void {
    const writer = connection.replies.begin();
    writeAccepted(writer, xid, Accept.success);
    writer.ensure(body.length);
    writer.writeBytes(body);
    this.#send(connection);
  }

  #answerFailure(
    connection: Connection,
    procedure: Procedure,
    xid: number,
    key: RequestKey | undefined,
    thrown: unknown,
  ): void {
    const writer = connection.replies.begin();
    const bodyStart = this.#writeFailure(procedure, xid, thrown, writer);
    if (key !== undefined && isRefusal(thrown)) {
      this.#errorReplies.set(key, writer.bytes.subarray(bodyStart, writer.position));
    }
    this.#send(connection);
  }

  /** Writes the whole reply of a failure; returns where its results start. */
  #writeFailure(procedure: Procedure, xid: number, thrown: unknown, writer: XdrWriter): number {
    if (thrown instanceof XdrError) {
      writeAccepted(writer, xid, Accept.garbageArguments);
      return writer.position;
    }
    writeAccepted(writer, xid, Accept.success);
    const start = writer.position;
    let status: number = Status.serverfault;
    if (thrown instanceof NfsError) status = thrown.status;
    else if (thrown instanceof FileSystemError) status = statusOf(procedure.name, thrown.code);
    else this.#options.onInternalError(procedure.name, thrown);
    procedure.fail(this.#service, this.#request, status, writer);
    return start;
  }

  #park(message: Message, procedure: Procedure, xid: number, key: RequestKey | undefined, fault: Fault): void {
    const parked = message.parked ?? this.#startParking(message, procedure, xid, key);
    parked.needs = fault.needs;
    if (++parked.rounds > maxRounds) {
      this.#options.onInternalError(procedure.name, new Error(`a request faulted ${maxRounds} times without progress`));
      this.#giveUp(parked, Status.serverfault);
      return;
    }
    this.#needs.bring(fault.needs, parked.signal).then(
      () => {
        this.#lacks.end(fault.needs);
        if (!parked.isDone) this.#runAgain(parked);
      },
      (error) => {
        if (parked.isDone) return;
        this.#options.onFetchFailed(procedure.name, error);
        this.#giveUp(parked, this.#judge(parked));
      },
    );
  }

  #startParking(message: Message, procedure: Procedure, xid: number, key: RequestKey | undefined): ParkedRequest {
    const parked = new ParkedRequest(message, xid, key, procedure);
    this.parked++;
    this.#options.waiting.add(parked);
    parked.timer = setTimeout(() => this.#giveUp(parked, this.#judge(parked)), this.#options.jukeboxMs);
    return parked;
  }

  /** What a request is told whose data did not come. */
  #judge({ needs }: ParkedRequest): number {
    return this.#lacks.note(needs, this.#options.ioErrorAfterMs) ? Status.io : Status.jukebox;
  }

  /** Answers a parked request with a failure, and never runs it again. */
  #giveUp(parked: ParkedRequest, status: number): void {
    const { connection } = parked;
    if (status === Status.jukebox) this.jukebox++;
    this.#options.waiting.cancel(parked);
    this.#request.first = -1;
    this.#request.second = -1;
    const writer = connection.replies.begin();
    writeAccepted(writer, parked.xid, Accept.success);
    parked.procedure.fail(this.#service, this.#request, status, writer);
    this.#send(connection);
  }

  #send(connection: Connection): void {
    connection.replies.finish();
    this.#options.turn.add(connection);
  }
}

/** Whether a failure is the file system's decision, which a retransmission is to hear again. */
function isRefusal(thrown: unknown): boolean {
  return thrown instanceof NfsError || thrown instanceof FileSystemError;
}
