/**
 * Changes of a shared host directory. Each is durable when it is answered: files are written with O_DSYNC, and the
 * directories of names that change are synced.
 */
import { constants } from "node:fs";
import fs, { type FileHandle } from "node:fs/promises";
import { FileSystemError } from "../../errors.ts";
import { type AttributeChange, FileType, type Name, type Time } from "../../file-system.ts";
import { requireSmall } from "../../offsets.ts";
import { type LiveChange, type LiveObject, whiteoutPrefix } from "../live/live-files.ts";
import type { HostDirectory } from "./host-directory.ts";
import { pathIn, pathOf } from "./host-paths.ts";

const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW, O_DSYNC, O_RDONLY, O_DIRECTORY } = constants;

export async function changeHostDirectory(host: HostDirectory, change: LiveChange): Promise<LiveObject | undefined> {
  switch (change.kind) {
    case "write":
      return await write(host, change);
    case "set":
      return await host.withObject(change.object, async (object) => {
        await setAttributes(object, change.change);
        return host.describe(await object.stat({ bigint: true }));
      });
    case "create":
      return await create(host, change);
    case "remove":
      return await host.inDirectory(change.directory, async (directory) => {
        const path = pathIn(directory, requireName(change.name));
        await (change.isDirectory ? fs.rmdir(path) : fs.unlink(path));
        await sync(directory);
        return undefined;
      });
    case "rename":
      return await host.inDirectory(change.from, (from) =>
        host.inDirectory(change.to, async (to) => {
          await fs.rename(pathIn(from, requireName(change.fromName)), pathIn(to, requireName(change.toName)));
          await sync(to);
          await sync(from);
          return undefined;
        }),
      );
    case "link":
      return await host.withObject(change.object, (object) =>
        host.inParent(change.object, (from, name) =>
          host.inDirectory(change.directory, async (to) => {
            await fs.link(pathIn(from, name), pathIn(to, requireName(change.name)));
            await sync(to);
            return host.describe(await object.stat({ bigint: true }));
          }),
        ),
      );
  }
}

type Write = Extract<LiveChange, { kind: "write" }>;

async function write(host: HostDirectory, { file: place, offset, data, mode }: Write): Promise<LiveObject> {
  return await host.withFile(place, O_WRONLY | O_DSYNC, async (file) => {
    if (mode !== undefined) await file.chmod(mode);
    for (let done = 0; done < data.length; ) {
      const { bytesWritten } = await file.write(data, done, data.length - done, offset + done);
      done += bytesWritten;
    }
    return host.describe(await file.stat({ bigint: true }));
  });
}

type Create = Extract<LiveChange, { kind: "create" }>;

async function create(host: HostDirectory, { directory: place, name, mode, uid, gid, target }: Create) {
  requireName(name);
  const type = mode & FileType.mask;
  if (type !== FileType.regular && type !== FileType.directory && type !== FileType.symlink)
    throw new FileSystemError("ENOTSUP", "device nodes, fifos and sockets cannot be made in a host directory");
  return await host.inDirectory(place, async (directory) => {
    const path = pathIn(directory, name);
    // For nobody until it is whose it is to be.
    if (type === FileType.directory) await fs.mkdir(path, 0o700);
    else if (type === FileType.symlink) await fs.symlink(Buffer.from(target, "latin1"), path);
    else await (await fs.open(path, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, 0o600)).close();
    await fs.lchown(path, uid, gid);
    if (type !== FileType.symlink) {
      const made = await openMade(directory, name);
      try {
        await fs.chmod(pathOf(made), mode & 0o7777);
        await made.sync();
      } finally {
        await made.close();
      }
    }
    await sync(directory);
    return await host.lookUp(directory, name);
  });
}

/** What was just made, to be synced; never a link that somebody put in its place. */
async function openMade(directory: FileHandle, name: Name): Promise<FileHandle> {
  return await fs.open(pathIn(directory, name), O_RDONLY | O_NOFOLLOW | constants.O_NONBLOCK);
}

async function setAttributes(object: FileHandle, change: AttributeChange): Promise<void> {
  const path = pathOf(object);
  const { mode, uid, gid, size, accessed, modified } = change;
  const before = await object.stat({ bigint: true });
  if (size !== undefined) await truncate(path, requireSmall(size));
  if (uid !== undefined || gid !== undefined)
    await fs.chown(path, uid ?? Number(before.uid), gid ?? Number(before.gid));
  if (mode !== undefined) await fs.chmod(path, mode);
  if (accessed !== undefined || modified !== undefined)
    await fs.utimes(path, chooseTime(accessed, before.atimeNs), chooseTime(modified, before.mtimeNs));
}

async function truncate(path: string, size: number): Promise<void> {
  const file = await fs.open(path, O_WRONLY | constants.O_NONBLOCK);
  try {
    await file.truncate(size);
    await file.datasync();
  } finally {
    await file.close();
  }
}

function chooseTime(wanted: Time | "now" | undefined, before: bigint): number {
  if (wanted === "now") return Date.now() / 1000;
  return wanted === undefined ? Number(before) / 1e9 : wanted.seconds + wanted.nanoseconds / 1e9;
}

/** Names that mean whiteouts are the layer's own: nobody can make or take them through it. */
function requireName(name: Name): Name {
  if (name === "" || name === "." || name === ".." || /[/\0]/.test(name) || name.startsWith(whiteoutPrefix))
    throw new FileSystemError("EINVAL");
  return name;
}

/** A directory that is open by O_PATH cannot be synced itself. */
async function sync(directory: FileHandle): Promise<void> {
  const opened = await fs.open(pathIn(directory), O_RDONLY | O_DIRECTORY);
  try {
    await opened.sync();
  } finally {
    await opened.close();
  }
}
