/**
 * The key under which a request is known again: boot epoch, xid, and a checksum of procedure, length, credential and the
 * first 256 argument bytes (DESIGN 5 "Exactly once"). Not the source port: a retransmission comes on a new connection,
 * after a migration even on a new host.
 *
 * 32 hex digits: 8 of epoch, 8 of xid, 16 of checksum. The checksum keeps apart what one guest's own kernel sends; a
 * guest that forges collisions confuses only itself.
 */
import type { RequestKey } from "../file-system.ts";
import type { Call } from "./rpc/call.ts";
import type { Memory } from "./xdr.ts";

const coveredArgumentBytes = 256;
const key = Buffer.alloc(16);

/** `end`: where the message ends. The credential, its verifier and the arguments follow each other in it. */
export function computeRequestKey(bootEpoch: number, call: Call, memory: Memory, end: number): RequestKey {
  const view = memory.view;
  const start = call.credentialStart;
  let low = Math.imul(call.procedure + 1, 0x9e3779b1);
  let high = Math.imul(end - start, 0x85ebca6b);
  // The verifier is 8 constant bytes. Messages are whole words, as XDR is; a last odd part is left out.
  const covered = Math.min(end, call.credentialEnd + 8 + coveredArgumentBytes) - 3;
  for (let at = start; at < covered; at += 4) {
    const word = view.getUint32(at);
    low = Math.imul((low ^ word) as number, 0xcc9e2d51);
    low = (low << 15) | (low >>> 17);
    high = Math.imul((high + word) | 0, 0x1b873593);
    high = (high << 13) | (high >>> 19);
    high ^= low;
  }
  key.writeUInt32BE(bootEpoch >>> 0, 0);
  key.writeUInt32BE(call.xid, 4);
  key.writeUInt32BE(mix(high) >>> 0, 8);
  key.writeUInt32BE(mix(low) >>> 0, 12);
  return key.toString("hex");
}

function mix(value: number): number {
  let mixed = value ^ (value >>> 16);
  mixed = Math.imul(mixed, 0x85ebca6b);
  mixed ^= mixed >>> 13;
  mixed = Math.imul(mixed, 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}
