/** What a client can see of a file system, as plain data, for comparing one with another. */
import { type Attributes, type Caller, type FileId, type FileSystem, FileType } from "../../../cowfs/file-system.ts";

export const root: Caller = { uid: 0, gid: 0, groups: [] };

export interface Seen {
  mode: string;
  links: number;
  uid: number;
  gid: number;
  size: number | undefined;
  content: string | undefined;
  /** `name=value` */
  extended: string[];
  /** The first path with the same identity. */
  sameAs: string;
}

export function snapshot(fileSystem: FileSystem): Record<string, Seen> {
  const seen: Record<string, Seen> = {};
  const firstPaths = new Map<FileId, string>();
  const visit = (id: FileId, path: string) => {
    const attributes = fileSystem.getAttributes(id);
    if (!firstPaths.has(id)) firstPaths.set(id, path);
    seen[path] = describe(fileSystem, attributes, firstPaths.get(id)!);
    if ((attributes.mode & FileType.mask) !== FileType.directory) return;
    for (const name of listNames(fileSystem, id)) visit(fileSystem.lookup(root, id, name), `${path}/${name}`);
  };
  visit(fileSystem.rootId, "");
  return seen;
}

/** All names in a directory, sorted, read in small steps so that cookies are used. */
export function listNames(fileSystem: FileSystem, id: FileId): string[] {
  const names: string[] = [];
  for (let cookie = 0; ; ) {
    const entries = fileSystem.list(root, id, cookie, 3);
    if (entries.length === 0) return names.sort();
    names.push(...entries.map(({ name }) => name));
    cookie = entries.at(-1)!.cookie;
  }
}

function describe(fileSystem: FileSystem, attributes: Attributes, sameAs: string): Seen {
  const { id, mode, links, uid, gid, size } = attributes;
  const type = mode & FileType.mask;
  let content: string | undefined;
  if (type === FileType.symlink) content = fileSystem.readLink(root, id);
  if (type === FileType.regular) {
    const bytes = Buffer.alloc(size);
    const count = fileSystem.read(root, id, 0, size, bytes, 0);
    content = bytes.toString("latin1", 0, count);
  }
  const shownSize = type === FileType.directory ? undefined : size;
  const extended = fileSystem
    .listExtendedAttributes(root, id)
    .map((name) => `${name}=${fileSystem.getExtendedAttribute(root, id, name).toString("latin1")}`);
  return { mode: mode.toString(8), links, uid, gid, size: shownSize, content, extended, sameAs };
}

/** The id that a path leads to, symlinks not followed. */
export function walkTo(fileSystem: FileSystem, caller: Caller, path: string): FileId {
  let id = fileSystem.rootId;
  for (const name of path.split("/").filter((part) => part !== "")) id = fileSystem.lookup(caller, id, name);
  return id;
}
