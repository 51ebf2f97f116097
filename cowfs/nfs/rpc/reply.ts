/** The reply half of ONC RPC version 2 (RFC 5531 section 9): accepted and denied replies, without their record mark. */
import type { XdrWriter } from "../xdr.ts";

/** The accept_stat of an accepted reply. */
export const Accept = {
  success: 0,
  programUnavailable: 1,
  programMismatch: 2,
  procedureUnavailable: 3,
  garbageArguments: 4,
  systemError: 5,
} as const;

/** The auth_stat of a denied one. */
export const AuthenticationError = { badCredential: 1, badVerifier: 3, tooWeak: 5 } as const;

/** Room for any of these. */
export const replyHeaderBytes = 64;

const reply = 1;

export function writeAccepted(writer: XdrWriter, xid: number, accept: number): void {
  writer.writeUint32(xid);
  writer.writeUint32(reply);
  writer.writeUint32(0);
  // The server's verifier: AUTH_NONE, empty.
  writer.writeUint64(0);
  writer.writeUint32(accept);
}

export function writeProgramMismatch(writer: XdrWriter, xid: number, low: number, high: number): void {
  writeAccepted(writer, xid, Accept.programMismatch);
  writer.writeUint32(low);
  writer.writeUint32(high);
}

export function writeRpcMismatch(writer: XdrWriter, xid: number): void {
  writer.writeUint32(xid);
  writer.writeUint32(reply);
  writer.writeUint32(1);
  writer.writeUint32(0);
  writer.writeUint32(2);
  writer.writeUint32(2);
}

export function writeAuthenticationError(writer: XdrWriter, xid: number, error: number): void {
  writer.writeUint32(xid);
  writer.writeUint32(reply);
  writer.writeUint32(1);
  writer.writeUint32(1);
  writer.writeUint32(error);
}
