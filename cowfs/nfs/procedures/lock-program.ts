/**
 * The Network Lock Manager, version 4 (RFC 1813 appendix II; X/Open XNFS chapter 10), on the same port as NFS: the procedures
 * that answer. A lock that has to wait is answered BLOCKED; where the export calls its clients back, it is queued, and its client is
 * called when it is there (locks/lock-queue.ts). Anyway a client asks again by itself (Linux every 30 s). Of share reservations,
 * which no Unix client makes, there are none.
 */
import { Fault } from "../../fault.ts";
import { type FileId, FileType } from "../../file-system.ts";
import type { HeldLock, LockOwner, LockRange } from "../locks/lock-table.ts";
import { lengthOf, nameProcess, parseProcess } from "../locks/owner-name.ts";
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
  readonly handle: Buffer;
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
  const { file, handle, owner, start, end } = readLock(service, request, args);
  const wanted: LockRange = { start, end, isExclusive };
  if (service.locks.findConflict(file, owner, wanted) !== undefined) {
    if (!isBlocking) return LockStatus.denied;
    service.lockQueue?.wait({ file, handle, owner, wanted, host: request.peer.host });
    return LockStatus.blocked;
  }
  if (!service.locks.lock(file, owner, wanted)) return LockStatus.noLocks;
  service.lockQueue?.claim({ file, owner, wanted });
  return LockStatus.granted;
}

const cancel = lockProcedure("NLM_CANCEL", (service, args, request) => {
  args.readBoolean();
  const isExclusive = args.readBoolean();
  const { file, owner, start, end } = readLock(service, request, args);
  service.lockQueue?.cancel({ file, owner, wanted: { start, end, isExclusive } });
  return LockStatus.granted;
});

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
    releaseClient(service, request, args);
  },
  fail() {},
};

function releaseClient(service: Service, request: Request, args: XdrReader): void {
  const client = clientOf(service, request, args.readString(maxNameBytes));
  service.lockQueue?.forget(client);
  service.locks.release(client);
}

function readLock(service: Service, request: Request, args: XdrReader): LockArguments {
  const client = clientOf(service, request, args.readString(maxNameBytes));
  const { position } = args;
  const id = readFile(service, args);
  args.position = position;
  const handle = Buffer.from(args.readOpaque(maxObjectBytes));
  const ownerHandle = Buffer.from(args.readOpaque(maxObjectBytes));
  const process = nameProcess(args.readUint32(), ownerHandle);
  const start = args.readUint64();
  const length = args.readUint64();
  if (start > Number.MAX_SAFE_INTEGER) throw new LockRefusal(LockStatus.tooBig);
  const end = length === 0 || start + length > Number.MAX_SAFE_INTEGER ? Number.POSITIVE_INFINITY : start + length;
  return { file: lockKey(service, id), handle, owner: { client, process }, start, end };
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

function writeHolder(reply: XdrWriter, cookie: Buffer, held: HeldLock): void {
  const { number, handle } = parseProcess(held.owner.process);
  answer(reply, cookie, LockStatus.denied);
  reply.ensure(handle.length + 40);
  reply.writeBoolean(held.isExclusive);
  reply.writeUint32(number);
  reply.writeOpaque(handle);
  reply.writeUint64(held.start);
  reply.writeUint64(lengthOf(held));
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
    releaseClient(service, request, args);
  },
  fail() {},
};

const monitorProcedures: (Procedure | undefined)[] = [nullProcedure];
monitorProcedures[6] = notify;

export const monitorProgram: Program = { number: 100024, version: 1, procedures: monitorProcedures };
