/** NLM_GRANTED (X/Open XNFS chapter 10, version 4 as in RFC 1813 appendix II): tells a client's lock manager that a lock is there. */
import { hostname } from "node:os";
import { RpcClient } from "../rpc/client.ts";
import { findPort } from "../rpc/find-port.ts";
import type { TellGranted } from "./lock-queue.ts";
import { lengthOf, parseProcess } from "./owner-name.ts";

const lockManager = { program: 100021, version: 4 };
const grantedProcedure = 5;
const maxCookieBytes = 1024;
/** Its portmapper and its lock manager together. Linux answers at once, or is not there. */
const defaultDeadlineMs = 10_000;

export interface CallingBack {
  /** Of the clients' portmappers. Default 111. */
  readonly portmapPort?: number;
  readonly deadlineMs?: number;
}

/** Asks the portmapper of the client's own address where its lock manager is. Over TCP. */
export function createTellGranted({ portmapPort, deadlineMs = defaultDeadlineMs }: CallingBack = {}): TellGranted {
  return async (lock) => {
    const signal = AbortSignal.timeout(deadlineMs);
    const { host: address } = lock;
    const owner = parseProcess(lock.owner.process);
    const port = await findPort({ address, portmapPort, signal, ...lockManager });
    const client = new RpcClient({ address, port, ...lockManager }, signal);
    try {
      const reply = await client.call(grantedProcedure, (writer) => {
        writer.writeOpaque(Buffer.from("xeno"));
        writer.writeBoolean(lock.wanted.isExclusive);
        writer.writeString(hostname());
        writer.writeOpaque(lock.handle);
        writer.writeOpaque(owner.handle);
        writer.writeUint32(owner.number);
        writer.writeUint64(lock.wanted.start);
        writer.writeUint64(lengthOf(lock.wanted));
      });
      reply.skipOpaque(maxCookieBytes);
      return reply.readUint32() === 0;
    } finally {
      client.close();
    }
  };
}
