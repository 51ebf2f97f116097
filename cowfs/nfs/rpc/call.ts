/**
 * The call half of ONC RPC version 2 (RFC 5531 section 9): header, credential and verifier, with their limits.
 *
 * A call is parsed into one long-lived object. What the header cannot be trusted to say (uid, gid, groups) is the
 * guest kernel's word about its own users: the boundary is the connection, not the credential.
 */
import type { Caller } from "../../file-system.ts";
import type { XdrReader } from "../xdr.ts";

const rpcVersion = 2;
const flavorNone = 0;
const flavorSystem = 1;
/** RFC 5531 section 8.2. */
const maxAuthenticationBytes = 400;
const maxMachineNameBytes = 255;
const maxGroups = 16;

const nobody: Caller = { uid: 65534, gid: 65534, groups: [] };

/** Why a header is refused; `none` when it is not. */
export type Refusal = "none" | "not a call" | "rpc version" | "bad credential" | "bad verifier";

export class Call {
  xid = 0;
  program = 0;
  version = 0;
  procedure = 0;
  caller: Caller = nobody;
  /** Where the credential and the arguments lie in the message: the duplicate request key covers them. */
  credentialStart = 0;
  credentialEnd = 0;

  #uid = -1;
  #gid = -1;
  #groups: number[] = [];
  #sameCaller: Caller = nobody;

  /** Reads the header; leaves the reader at the arguments. Throws XdrError when the message ends too early. */
  parse(reader: XdrReader): Refusal {
    this.xid = reader.readUint32();
    if (reader.readUint32() !== 0) return "not a call";
    if (reader.readUint32() !== rpcVersion) return "rpc version";
    this.program = reader.readUint32();
    this.version = reader.readUint32();
    this.procedure = reader.readUint32();
    this.credentialStart = reader.position;
    if (!this.#parseCredential(reader)) return "bad credential";
    this.credentialEnd = reader.position;
    // Neither flavor has a verifier of its own (RFC 5531 appendix A).
    if (reader.readUint32() !== flavorNone || reader.readUint32() !== 0) return "bad verifier";
    return "none";
  }

  #parseCredential(reader: XdrReader): boolean {
    const flavor = reader.readUint32();
    const start = reader.position + 4;
    const length = reader.readUint32();
    const padded = (length + 3) & ~3;
    if (length > maxAuthenticationBytes || padded > reader.end - start) return false;
    const end = start + padded;
    if (flavor === flavorNone) {
      this.caller = nobody;
      reader.position = end;
      return true;
    }
    if (flavor !== flavorSystem) return false;
    return this.#parseSystem(reader, end);
  }

  /** AUTH_SYS. Successive calls mostly have the same user: its Caller object is used again. */
  #parseSystem(reader: XdrReader, end: number): boolean {
    const messageEnd = reader.end;
    reader.end = end;
    try {
      reader.readUint32();
      reader.skipOpaque(maxMachineNameBytes);
      const uid = reader.readUint32();
      const gid = reader.readUint32();
      const count = reader.readUint32();
      if (count > maxGroups) return false;
      let same = uid === this.#uid && gid === this.#gid && count === this.#groups.length;
      const start = reader.position;
      for (let i = 0; i < count; i++) if (reader.readUint32() !== this.#groups[i]) same = false;
      if (!same) {
        reader.position = start;
        this.#uid = uid;
        this.#gid = gid;
        this.#groups = [];
        for (let i = 0; i < count; i++) this.#groups.push(reader.readUint32());
        this.#sameCaller = { uid, gid, groups: this.#groups };
      }
      this.caller = this.#sameCaller;
      return reader.position === end;
    } catch {
      return false;
    } finally {
      reader.end = messageEnd;
    }
  }
}
