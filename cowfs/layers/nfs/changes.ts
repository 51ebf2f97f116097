/** Changes of a shared remote directory: each is on the server's stable storage when it is answered. */
import { FileSystemError } from "../../errors.ts";
import { type AttributeChange, FileType } from "../../file-system.ts";
import { type LiveChange, type LiveObject, whiteoutPrefix } from "../live/live-files.ts";
import { readHandle, readPostAttributes, skipWccData, writeChange } from "./attributes.ts";
import { type NfsFiles, writeEntry, writeHandle } from "./nfs-files.ts";
import { procedures } from "./procedures.ts";

/** stable_how: FILE_SYNC. */
const fileSync = 2;
const maxWriteBytes = 128 * 1024;
const guarded = 1;

export async function changeNfs(files: NfsFiles, change: LiveChange): Promise<LiveObject | undefined> {
  switch (change.kind) {
    case "write":
      return await write(files, change);
    case "set":
      return await setAttributes(files, change.object.identity, change.change);
    case "create":
      return await create(files, change);
    case "remove":
      requireName(change.name);
      await files.call(change.isDirectory ? procedures.rmdir : procedures.remove, (writer) =>
        writeEntry(writer, change.directory.identity, change.name),
      );
      return undefined;
    case "rename":
      requireName(change.fromName);
      requireName(change.toName);
      await files.call(procedures.rename, (writer) => {
        writeEntry(writer, change.from.identity, change.fromName);
        writeEntry(writer, change.to.identity, change.toName);
      });
      return undefined;
    case "link": {
      requireName(change.name);
      const { identity } = change.object;
      await files.call(procedures.link, (writer) => {
        writeHandle(writer, identity);
        writeEntry(writer, change.directory.identity, change.name);
      });
      return await describe(files, identity, undefined);
    }
  }
}

async function describe(files: NfsFiles, identity: string, known: LiveObject["attributes"] | undefined) {
  return { identity, attributes: known ?? (await files.getAttributes(identity)) };
}

async function setAttributes(files: NfsFiles, handle: string, change: AttributeChange): Promise<LiveObject> {
  const reply = await files.call(procedures.setattr, (writer) => {
    writeHandle(writer, handle);
    writeChange(writer, change);
    writer.writeBoolean(false);
  });
  return await describe(files, handle, skipWccData(reply));
}

type Write = Extract<LiveChange, { kind: "write" }>;

async function write(files: NfsFiles, { file, offset, data, mode }: Write): Promise<LiveObject> {
  const handle = file.identity;
  if (mode !== undefined) await setAttributes(files, handle, { mode });
  let attributes: LiveObject["attributes"] | undefined;
  for (let done = 0; done < data.length; ) {
    const part = data.subarray(done, done + maxWriteBytes);
    const reply = await files.call(procedures.write, (writer) => {
      writeHandle(writer, handle);
      writer.writeUint64(offset + done);
      writer.writeUint32(part.length);
      writer.writeUint32(fileSync);
      writer.writeOpaque(part);
    });
    attributes = skipWccData(reply);
    const written = reply.readUint32();
    if (written === 0 || written > part.length) throw new FileSystemError("EIO", "the server writes nothing");
    done += written;
  }
  return await describe(files, handle, attributes);
}

type Create = Extract<LiveChange, { kind: "create" }>;

async function create(files: NfsFiles, change: Create): Promise<LiveObject> {
  const { name, mode, uid, gid, target } = change;
  requireName(name);
  const directory = change.directory.identity;
  const type = mode & FileType.mask;
  const attributes = { mode: mode & 0o7777, uid, gid };
  const call = {
    [FileType.regular]: procedures.create,
    [FileType.directory]: procedures.mkdir,
    [FileType.symlink]: procedures.symlink,
    [FileType.fifo]: procedures.mknod,
    [FileType.socket]: procedures.mknod,
  }[type];
  if (call === undefined) throw new FileSystemError("ENOTSUP", "device nodes cannot be made in a live layer");
  const reply = await files.call(call, (writer) => {
    writeEntry(writer, directory, name);
    if (type === FileType.regular) writer.writeUint32(guarded);
    if (type === FileType.fifo) writer.writeUint32(7);
    if (type === FileType.socket) writer.writeUint32(6);
    writeChange(writer, attributes);
    if (type === FileType.symlink) writer.writeString(target);
  });
  const identity = reply.readBoolean() ? readHandle(reply) : undefined;
  const made = readPostAttributes(reply);
  if (identity !== undefined && made !== undefined) return { identity, attributes: made };
  const found = await files.lookUp(directory, name);
  if (found === undefined) throw new FileSystemError("EIO", "what was just made is not there");
  return found;
}

/** Names that mean whiteouts are the layer's own: nobody can make or take them through it. */
function requireName(name: string): void {
  if (name.startsWith(whiteoutPrefix)) throw new FileSystemError("EINVAL");
}
