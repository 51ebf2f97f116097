/**
 * File handles: 8 bytes of lineage, 8 bytes of fileid, 16 bytes of MAC over both.
 *
 * (H1) A handle names the inode and nothing else: it survives renames of the file and of any directory above it,
 *      restarts and migrations, since all of its parts do.
 * (H2) A guest cannot make one: the MAC is AES-256 under the lineage's secret key of the one 16-byte block that the
 *      handle starts with. On a single block of fixed length a block cipher is a MAC.
 * (H3) Nothing is forgotten: what is cached is the computed MAC, and a miss computes it again (about 1 µs).
 */
import { type Cipheriv, createCipheriv } from "node:crypto";
import type { FileId } from "../file-system.ts";
import { badHandle, staleHandle } from "./status.ts";
import type { XdrReader, XdrWriter } from "./xdr.ts";

export const handleBytes = 32;
/** With its length word. */
export const handleXdrBytes = 4 + handleBytes;

/** Cached MACs; a power of two. 24 bytes each. */
const slots = 65536;
const maxFileId = Number.MAX_SAFE_INTEGER;

export class Handles {
  readonly #lineageHigh: number;
  readonly #lineageLow: number;
  readonly #cipher: Cipheriv;
  readonly #block = Buffer.alloc(16);
  readonly #ids = new Float64Array(slots).fill(-1);
  readonly #macs = new Uint32Array(slots * 4);

  /** `lineage`: 16 bytes, of which handles carry the first 8; `key`: 32 bytes. */
  constructor(lineage: Buffer, key: Buffer) {
    this.#lineageHigh = lineage.readUInt32BE(0);
    this.#lineageLow = lineage.readUInt32BE(4);
    this.#block.writeUInt32BE(this.#lineageHigh, 0);
    this.#block.writeUInt32BE(this.#lineageLow, 4);
    this.#cipher = createCipheriv("aes-256-ecb", key, null);
    this.#cipher.setAutoPadding(false);
  }

  write(writer: XdrWriter, id: FileId): void {
    const mac = this.#macOf(id);
    const macs = this.#macs;
    writer.writeUint32(handleBytes);
    writer.writeUint32(this.#lineageHigh);
    writer.writeUint32(this.#lineageLow);
    writer.writeUint64(id);
    writer.writeUint32(macs[mac]);
    writer.writeUint32(macs[mac + 1]);
    writer.writeUint32(macs[mac + 2]);
    writer.writeUint32(macs[mac + 3]);
  }

  /** Throws BADHANDLE for what this server never made, STALE for a handle of another lineage. */
  read(reader: XdrReader): FileId {
    // RFC 1813 bounds handles at 64 bytes; a longer one is not even XDR.
    const start = reader.position;
    const length = reader.skipOpaque(64);
    if (length !== handleBytes) throw badHandle;
    const afterHandle = reader.position;
    reader.position = start + 4;
    const foreign = (reader.readUint32() ^ this.#lineageHigh) | (reader.readUint32() ^ this.#lineageLow);
    const id = reader.readUint64();
    if (foreign !== 0) throw staleHandle;
    if (id > maxFileId) throw badHandle;
    const mac = this.#macOf(id);
    const macs = this.#macs;
    // Compared as a whole, so that the time taken tells nothing about which word was wrong.
    const difference =
      (reader.readUint32() ^ macs[mac]) |
      (reader.readUint32() ^ macs[mac + 1]) |
      (reader.readUint32() ^ macs[mac + 2]) |
      (reader.readUint32() ^ macs[mac + 3]);
    if (difference !== 0) throw badHandle;
    reader.position = afterHandle;
    return id;
  }

  /** The place in `#macs` where the MAC of a fileid begins. */
  #macOf(id: FileId): number {
    const slot = (Math.imul(id, 0x9e3779b1) ^ (id / 4294967296)) & (slots - 1);
    if (this.#ids[slot] !== id) {
      const block = this.#block;
      block.writeUInt32BE(Math.floor(id / 4294967296), 8);
      block.writeUInt32BE(id >>> 0, 12);
      const mac = this.#cipher.update(block);
      for (let word = 0; word < 4; word++) this.#macs[slot * 4 + word] = mac.readUInt32BE(word * 4);
      this.#ids[slot] = id;
    }
    return slot * 4;
  }
}
