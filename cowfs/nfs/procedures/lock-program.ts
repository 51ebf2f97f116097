/**
 * The Network Lock Manager, version 4 (RFC 1813 appendix II; X/Open XNFS chapter 10), on the same port as NFS: the procedures
 * that answer. A lock that has to wait is answered BLOCKED, and its client asks again by itself (Linux every 30 s): no
 * call goes back to clients. Of share reservations, which no Unix client makes, there are none.
 */
import { Fault } from "../../fault.ts";
import { type FileId, FileType } from "../../file-system.ts";
import type { HeldLock, LockOwner, LockRange } from "../locks/lock-table.ts";
import { badHandle, staleHandle } from "../status.ts";
import type { XdrReader, XdrWriter } from "../xdr.ts";
import { nullProcedure } from "./null.ts";
import type { Procedure, Program, Request, Service } from "./procedure.ts";

/** nlm4_stats. */
export const LockStatus = {
  granted: 0,
  denied: 1,
  noLocks: 2,
  blocked: 3,
  stale: 7,
  tooBig: 8,
  failed: 9,
} as const;

/** LM_MAXSTRLEN and MAXNETOBJ_SZ. */
const maxNameBytes = 1024;
const maxObjectBytes = 1024;

interface LockArguments {
  readonly file: string;
  readonly owner: LockOwner;
  readonly start: number;
  readonly end: number;
}

/** A failure that the reply tells, behind the cookie. */
class LockRefusal extends Error {
  readonly status: number;

  constructor(status: number) {
    super(`NLM status ${status}`);
    this.status = status;
  }
}

function answer(reply: XdrWriter, cookie: Buffer, status: number): void {
  reply.ensure(cookie.length + 12);
  reply.writeOpaque(cookie);
  reply.writeUint32(status);
}

/** Runs what a procedure does with its lock; whatever refuses it is told with its cookie. */
function lockProcedure(
  name: string,
  run: (service: Service, args: XdrReader, request: Request) => number | HeldLock,
): Procedure {
  return {
    name,
    effect: "none",
    run(service, request, args, reply) {
      const cookie = Buffer.from(args.readOpaque(maxObjectBytes));
      try {
        const outcome = run(service, args, request);
        if (typeof outcome === "number") answer(reply, cookie, outcome);
        else writeHolder(reply, cookie, outcome);
      } catch (thrown) {
        if (!(thrown instanceof LockRefusal)) throw thrown;
        answer(reply, cookie, thrown.status);
      }
    },
    // Only what could not be brought in time comes here: without an answer its client asks again.
    fail() {},
  };
}

const test = lockProcedure("NLM_TEST", (service, args, request) => {
  const isExclusive = args.readBoolean();
  const { file, owner, start, end } = readLock(service, request, args);
  return service.locks.findConflict(file, owner, { start, end, isExclusive }) ?? LockStatus.granted;
});

const lock = lockProcedure("NLM_LOCK", (service, args, request) => takeLock(service, args, request));

/** NM_LOCK asks for a lock without being monitored: nothing here is. */
const unmonitored = lockProcedure("NLM_NM_LOCK", (service, args, request) => takeLock(service, args, request));

function takeLock(service: Service, args: XdrReader, request: Request): number {
  const isBlocking = args.readBoolean();
  const isExclusive = args.readBoolean();
  const { file, owner, start, end } = readLock(service, request, args);
  const wanted: LockRange = { start, end, isExclusive };
  if (service.locks.findConflict(file, owner, wanted) !== undefined)
    return isBlocking ? LockStatus.blocked : LockStatus.denied;
  return service.locks.lock(file, owner, wanted) ? LockStatus.granted : LockStatus.noLocks;
}

/** Nothing waits here. */
const cancel = lockProcedure("NLM_CANCEL", () => LockStatus.granted);

const unlock = lockProcedure("NLM_UNLOCK", (service, args, request) => {
  const { file, owner, start, end } = readLock(service, request, args);
  service.locks.unlock(file, owner, { start, end });
  return LockStatus.granted;
});

/** A client that has started anew: nlm4_notify. */
const freeAll: Procedure = {
  name: "NLM_FREE_ALL",
  effect: "none",
  run(service, request, args) {
    service.locks.release(clientOf(service, request, args.readString(maxNameBytes)));
  },
  fail() {},
};

function readLock(service: Service, request: Request, args: XdrReader): LockArguments {
  const client = clientOf(service, request, args.readString(maxNameBytes));
  const id = readFile(service, args);
  const handle = args.readOpaque(maxObjectBytes).toString("latin1");
  const process = `${args.readUint32()} ${handle}`;
  const start = args.readUint64();
  const length = args.readUint64();
  if (start > Number.MAX_SAFE_INTEGER) throw new LockRefusal(LockStatus.tooBig);
  const end = length === 0 || start + length > Number.MAX_SAFE_INTEGER ? Number.POSITIVE_INFINITY : start + length;
  return { file: lockKey(service, id), owner: { client, process }, start, end };
}

function readFile(service: Service, args: XdrReader): FileId {
  try {
    const id = service.handles.read(args);
    const { mode } = service.fileSystem.getAttributes(id);
    if ((mode & FileType.mask) === FileType.regular) return id;
  } catch (thrown) {
    if (thrown instanceof Fault) throw thrown;
    if (thrown === badHandle || thrown === staleHandle) throw new LockRefusal(LockStatus.stale);
    const { code } = thrown as { code?: string };
    if (code === "ESTALE") throw new LockRefusal(LockStatus.stale);
    if (code === undefined) throw thrown;
  }
  throw new LockRefusal(LockStatus.failed);
}

/** Clients of two exports may have the same name and address. */
function clientOf(service: Service, request: Request, name: string): string {
  return `${service.lockScope} ${request.peer.host} ${name}`;
}

function lockKey({ fileSystem, lockScope }: Service, id: FileId): string {
  return fileSystem.lockKey?.(id) ?? `${lockScope} ${id}`;
}

function writeHolder(reply: XdrWriter, cookie: Buffer, { isExclusive, owner, start, end }: HeldLock): void {
  const at = owner.process.indexOf(" ");
  const handle = Buffer.from(owner.process.slice(at + 1), "latin1");
  answer(reply, cookie, LockStatus.denied);
  reply.ensure(handle.length + 40);
  reply.writeBoolean(isExclusive);
  reply.writeUint32(Number(owner.process.slice(0, at)));
  reply.writeOpaque(handle);
  reply.writeUint64(start);
  reply.writeUint64(end === Number.POSITIVE_INFINITY ? 0 : end - start);
}

const procedures: (Procedure | undefined)[] = [nullProcedure, test, lock, cancel, unlock];
procedures[22] = unmonitored;
procedures[23] = freeAll;

export const lockProgram: Program = { number: 100021, version: 4, procedures };

/** SM_NOTIFY of the Network Status Monitor: a client has restarted (X/Open XNFS chapter 11). */
const notify: Procedure = {
  name: "SM_NOTIFY",
  effect: "none",
  run(service, request, args) {
    service.locks.release(clientOf(service, request, args.readString(maxNameBytes)));
  },
  fail() {},
};

const monitorProcedures: (Procedure | undefined)[] = [nullProcedure];
monitorProcedures[6] = notify;

export const monitorProgram: Program = { number: 100024, version: 1, procedures: monitorProcedures };
