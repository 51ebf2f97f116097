/**
 * A remote NFSv3 server as a live layer (`nfs://host/path`), spoken to from user space: no kernel client is needed.
 *
 * An object is identified by its file handle, so it is found wherever it was moved to. The server is asked as root, and
 * who of the clients may do what is decided here from the attributes that it shows; where it squashes root, what nobody
 * may read cannot be. Writes are FILE_SYNC.
 *
 * What it cannot do: extended attributes and, through its interface here, device nodes (to make them).
 */
import { setTimeout as delay } from "node:timers/promises";
import { FileSystemError, XenoError } from "../../errors.ts";
import { FileType, type Name } from "../../file-system.ts";
import type { RpcClient } from "../../nfs/rpc/client.ts";
import { Status } from "../../nfs/status.ts";
import type { XdrReader, XdrWriter } from "../../nfs/xdr.ts";
import {
  type LiveAttributes,
  type LiveChange,
  type LiveContent,
  type LiveFiles,
  type LiveFound,
  type LiveListing,
  type LiveObject,
  type LivePlace,
  maxListedNames,
  opaqueName,
  whiteoutPrefix,
} from "../live/live-files.ts";
import { errorOf, maxHandleBytes, readAttributes, readHandle, readPostAttributes } from "./attributes.ts";
import { changeNfs } from "./changes.ts";
import { connectNfs, mountPath, type NfsPlace } from "./mount.ts";
import { procedures } from "./procedures.ts";

const directoryBytes = 128 * 1024;
/** A server that fetches something first says JUKEBOX; it is asked again for so long. */
const jukeboxRetries = 12;
const jukeboxPauseMs = 500;

export async function openNfsFiles(place: NfsPlace): Promise<LiveFiles> {
  const client = await connectNfs(place);
  const { handle, rest } = await mountPath(place);
  const files = new NfsFiles(client, handle, place.isWritable);
  let at = handle;
  for (const name of rest) {
    const found = await files.lookUp(at, name);
    if (found === undefined || (found.attributes.mode & FileType.mask) !== FileType.directory)
      throw new XenoError("layer-unusable", `${place.host}:${place.path} is no directory`);
    at = found.identity;
  }
  return new NfsFiles(client, at, place.isWritable);
}

export class NfsFiles implements LiveFiles {
  readonly #client: RpcClient;
  readonly #root: string;
  readonly #isWritable: boolean;

  constructor(client: RpcClient, root: string, isWritable: boolean) {
    this.#client = client;
    this.#root = root;
    this.#isWritable = isWritable;
  }

  async root(): Promise<LiveObject> {
    return { identity: this.#root, attributes: await this.getAttributes(this.#root) };
  }

  async find({ identity }: LivePlace, name: Name): Promise<LiveFound> {
    const found = await this.lookUp(identity, name);
    if (found !== undefined) return found;
    return (await this.lookUp(identity, `${whiteoutPrefix}${name}`)) === undefined ? undefined : "whiteout";
  }

  async isOpaque({ identity }: LivePlace): Promise<boolean> {
    return (await this.lookUp(identity, opaqueName)) !== undefined;
  }

  async list({ identity }: LivePlace): Promise<LiveListing> {
    const found = await this.#readDirectory(identity);
    const names = new Set(found.map(({ name }) => name));
    const entries: { name: Name; object: LiveObject | "whiteout" }[] = [];
    for (const { name, object } of found) {
      if (name === opaqueName) continue;
      if (name.startsWith(whiteoutPrefix)) {
        const hidden = name.slice(whiteoutPrefix.length);
        if (!names.has(hidden)) entries.push({ name: hidden, object: "whiteout" });
        continue;
      }
      const known = object ?? (await this.lookUp(identity, name));
      if (known !== undefined) entries.push({ name, object: known });
    }
    return { entries };
  }

  async attributes({ identity }: LivePlace): Promise<LiveAttributes> {
    return await this.getAttributes(identity);
  }

  async read({ identity }: LivePlace, offset: number, length: number): Promise<LiveContent> {
    const parts: Buffer[] = [];
    let attributes: LiveAttributes | undefined;
    for (let done = 0, isEnd = false; done < length && !isEnd; ) {
      const reply = await this.call(procedures.read, (writer) => {
        writeHandle(writer, identity);
        writer.writeUint64(offset + done);
        writer.writeUint32(length - done);
      });
      attributes = readPostAttributes(reply);
      reply.readUint32();
      isEnd = reply.readBoolean();
      const data = reply.readOpaque(length - done);
      parts.push(data);
      done += data.length;
      if (data.length === 0) isEnd = true;
    }
    return { data: Buffer.concat(parts), attributes: attributes ?? (await this.getAttributes(identity)) };
  }

  async readLink({ identity }: LivePlace): Promise<Name> {
    const reply = await this.call(procedures.readlink, (writer) => writeHandle(writer, identity));
    readPostAttributes(reply);
    return reply.readString(4095);
  }

  async change(change: LiveChange): Promise<LiveObject | undefined> {
    if (!this.#isWritable) throw new FileSystemError("EROFS");
    return await changeNfs(this, change);
  }

  async getAttributes(handle: string): Promise<LiveAttributes> {
    return readAttributes(await this.call(procedures.getattr, (writer) => writeHandle(writer, handle)));
  }

  async lookUp(directory: string, name: Name): Promise<LiveObject | undefined> {
    try {
      const reply = await this.call(procedures.lookup, (writer) => writeEntry(writer, directory, name));
      const identity = readHandle(reply);
      const attributes = readPostAttributes(reply) ?? (await this.getAttributes(identity));
      return { identity, attributes };
    } catch (error) {
      const { code } = error as FileSystemError;
      if (code === "ENOENT" || code === "ENAMETOOLONG") return undefined;
      throw error;
    }
  }

  /** Calls until it is no JUKEBOX; settles with a reader behind the status. Rejects with what the status means. */
  async call(procedure: number, write: (writer: XdrWriter) => void): Promise<XdrReader> {
    for (let tried = 0; ; tried++) {
      const reply = await this.#client.call(procedure, write);
      const status = reply.readUint32();
      if (status === Status.ok) return reply;
      if (status !== Status.jukebox || tried >= jukeboxRetries) throw errorOf(status);
      await delay(jukeboxPauseMs);
    }
  }

  async #readDirectory(handle: string): Promise<{ name: Name; object: LiveObject | undefined }[]> {
    const found: { name: Name; object: LiveObject | undefined }[] = [];
    let cookie = 0n;
    let verifier = 0n;
    for (;;) {
      const reply = await this.call(procedures.readdirplus, (writer) => {
        writeHandle(writer, handle);
        for (const word of [cookie, verifier]) writeBigUint64(writer, word);
        writer.writeUint32(directoryBytes / 4);
        writer.writeUint32(directoryBytes);
      });
      readPostAttributes(reply);
      verifier = reply.readBigUint64();
      let count = 0;
      for (; reply.readBoolean(); count++) {
        reply.readBigUint64();
        const name = reply.readString(255);
        cookie = reply.readBigUint64();
        const attributes = readPostAttributes(reply);
        const identity = reply.readBoolean() ? readHandle(reply) : undefined;
        if (name === "." || name === "..") continue;
        const isWhole = attributes !== undefined && identity !== undefined;
        found.push({ name, object: isWhole ? { identity, attributes } : undefined });
      }
      if (reply.readBoolean()) return found;
      if (count === 0) throw new FileSystemError("EIO", "a directory's page is empty and not the last");
      if (found.length > maxListedNames) throw new FileSystemError("ENOTSUP", `more than ${maxListedNames} names`);
    }
  }
}

export function writeHandle(writer: XdrWriter, handle: string): void {
  if (handle.length > maxHandleBytes) throw new FileSystemError("ESTALE");
  writer.writeString(handle);
}

/** diropargs3. */
export function writeEntry(writer: XdrWriter, directory: string, name: Name): void {
  writeHandle(writer, directory);
  writer.writeString(name);
}

function writeBigUint64(writer: XdrWriter, value: bigint): void {
  writer.writeUint32(Number(value >> 32n));
  writer.writeUint32(Number(value & 0xffffffffn));
}
