/**
 * From a received message to the procedure that it calls: headers, refusals, routing.
 *
 * Nothing that a message or the file system does becomes an exception out of `serve`.
 */
import type { Connection } from "./connection.ts";
import { Execution, type ExecutionOptions, type Message, type ParkedRequest } from "./execution.ts";
import { nfsProgram } from "./procedures/nfs-program.ts";
import type { Procedure } from "./procedures/procedure.ts";
import { findProcedure, versionOf } from "./procedures/programs.ts";
import { Call, type Refusal } from "./rpc/call.ts";
import {
  Accept,
  AuthenticationError,
  writeAccepted,
  writeAuthenticationError,
  writeProgramMismatch,
  writeRpcMismatch,
} from "./rpc/reply.ts";
import { type Memory, XdrReader } from "./xdr.ts";

const privilegedPorts = 1024;

export class Dispatcher {
  requests = 0;
  readonly byProcedure = new Map<Procedure, number>();
  readonly execution: Execution;

  readonly #options: ExecutionOptions;
  readonly #requirePrivilegedPort: boolean;
  readonly #call = new Call();
  readonly #args = new XdrReader();

  constructor(options: ExecutionOptions, requirePrivilegedPort: boolean) {
    this.#options = options;
    this.#requirePrivilegedPort = requirePrivilegedPort;
    this.execution = new Execution(options, (parked) => {
      this.serve(parked.connection, parked.memory, 0, parked.memory.bytes.length, parked);
    });
  }

  /** Serves the message in bytes `start` to `end`; `parked` when it is run again. */
  serve(connection: Connection, memory: Memory, start: number, end: number, parked?: ParkedRequest): void {
    const { bytes } = memory;
    const message: Message = { connection, memory, start, end, parked };
    try {
      this.#serve(message);
    } catch (thrown) {
      // Ours, never the peer's doing; the connection is in an unknown state, and a new one is not.
      this.#options.onInternalError(`a message of ${end - start} of ${bytes.length} bytes`, thrown);
      connection.close();
    }
  }

  #serve(message: Message): void {
    const { connection } = message;
    const args = this.#args;
    const call = this.#call;
    args.attach(message.memory, message.start, message.end);
    const refusal = parseHeader(call, args);
    if (refusal === undefined) {
      // Not even a header: whatever this peer speaks, the bytes after it mean nothing either.
      connection.close();
      return;
    }
    if (refusal !== "none") {
      this.#refuse(connection, refusal);
      return;
    }
    const procedure = this.#findProcedure(connection, call);
    if (procedure === undefined) return;
    if (call.program === nfsProgram.number && call.procedure !== 0) connection.hasServed = true;
    if (message.parked === undefined) {
      this.requests++;
      this.byProcedure.set(procedure, (this.byProcedure.get(procedure) ?? 0) + 1);
    }
    this.execution.run(message, procedure, call, args);
  }

  #findProcedure(connection: Connection, call: Call): Procedure | undefined {
    const found = findProcedure(call.program, call.version, call.procedure);
    if (typeof found === "number") {
      const writer = connection.replies.begin();
      if (found === Accept.programMismatch) {
        const version = versionOf(call.program);
        writeProgramMismatch(writer, call.xid, version, version);
      } else {
        writeAccepted(writer, call.xid, found);
      }
      this.#send(connection);
      return undefined;
    }
    // Anyone may ping; but any process of the guest can forge a credential on a port that it may bind.
    if (this.#requirePrivilegedPort && connection.peer.port >= privilegedPorts && call.procedure !== 0) {
      writeAuthenticationError(connection.replies.begin(), call.xid, AuthenticationError.tooWeak);
      this.#send(connection);
      return undefined;
    }
    return found;
  }

  #refuse(connection: Connection, refusal: Refusal): void {
    // A reply, sent to a server: answering it could make two servers talk for ever.
    if (refusal === "not a call") return;
    const writer = connection.replies.begin();
    const xid = this.#call.xid;
    if (refusal === "rpc version") writeRpcMismatch(writer, xid);
    else if (refusal === "bad verifier") writeAuthenticationError(writer, xid, AuthenticationError.badVerifier);
    else writeAuthenticationError(writer, xid, AuthenticationError.badCredential);
    this.#send(connection);
  }

  #send(connection: Connection): void {
    connection.replies.finish();
    this.#options.turn.add(connection);
  }
}

function parseHeader(call: Call, reader: XdrReader): Refusal | undefined {
  try {
    return call.parse(reader);
  } catch {
    return undefined;
  }
}
