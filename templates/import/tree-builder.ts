/**
 * Builds a tree from members in any order, as tar(1) would unpack them into an empty directory, and refuses what would
 * leave that directory or is not one tree.
 *
 * (T1) A path is names joined by `/`; `..` and absolute paths are refused, `.` and doubled slashes are nothing.
 * (T2) A member below a symbolic link goes where the link leads as long as that is inside, by a relative target;
 *      other links are refused, though links that merely point out are content like any other.
 * (T3) A name is given once. A directory may come again (then its metadata counts), as archives of many parts do.
 */
import type { Name } from "../../cowfs/file-system.ts";
import { createDirectoryNode, type TreeNode } from "../../cowfs/trees/node.ts";

export type DirectoryNode = ReturnType<typeof createDirectoryNode>;

/** Why a member is refused; the importer adds which one it is. */
export class MemberRefused extends Error {}

/** As the kernel: MAXSYMLINKS and NAME_MAX. */
export const maxLinks = 40;
const maxNameBytes = 255;

/** What an archive is unpacked into. Each may throw MemberRefused. */
export interface TarTarget {
  add(path: Name, node: TreeNode): void;
  /** Another name of a file that is already there. */
  addHardLink(path: Name, target: Name): void;
  addWhiteout(path: Name): void;
  markOpaque(path: Name): void;
}

export class TreeBuilder implements TarTarget {
  /** 0755 and root's until a member says otherwise. */
  readonly root: DirectoryNode = createDirectoryNode({ permissions: 0o755 });

  /** Places a node. Throws MemberRefused. */
  add(path: Name, node: TreeNode): void {
    const names = splitPath(path);
    const name = names.pop();
    if (name === undefined) {
      if (!isDirectory(node)) throw new MemberRefused("the root is not a directory");
      replaceMetadata(this.root, node);
      return;
    }
    const parent = this.#enter(names, true);
    const existing = parent.children.get(name);
    if (existing === undefined) parent.children.set(name, node);
    else if (existing !== "whiteout" && isDirectory(existing) && isDirectory(node)) replaceMetadata(existing, node);
    else throw new MemberRefused("there is another member of that name");
  }

  /** Places another name of a file that is already there. Throws MemberRefused. */
  addHardLink(path: Name, target: Name): void {
    const node = this.find(target);
    if (node === undefined) throw new MemberRefused("it is a hard link to a member that is not there");
    if (isDirectory(node)) throw new MemberRefused("it is a hard link to a directory");
    this.add(path, node);
  }

  /** Hides a name in weaker layers. Throws MemberRefused. */
  addWhiteout(path: Name): void {
    const names = splitPath(path);
    const name = names.pop();
    if (name === undefined) throw new MemberRefused("it would hide the root");
    const parent = this.#enter(names, true);
    if (parent.children.has(name)) throw new MemberRefused("it hides a member of the same archive");
    parent.children.set(name, "whiteout");
  }

  /** Hides everything that weaker layers hold in a directory. Throws MemberRefused. */
  markOpaque(path: Name): void {
    this.#enter(splitPath(path), true).opaque = true;
  }

  /** The node under a path; the last component is not followed. Throws MemberRefused. */
  find(path: Name): TreeNode | undefined {
    const names = splitPath(path);
    const name = names.pop();
    if (name === undefined) return this.root;
    const node = this.#enter(names, false)?.children.get(name);
    return node === "whiteout" ? undefined : node;
  }

  /** Walks down, follows links (T2), and makes directories that no member has named yet. */
  #enter(names: readonly Name[], create: true): DirectoryNode;
  #enter(names: readonly Name[], create: boolean): DirectoryNode | undefined;
  #enter(names: readonly Name[], create: boolean): DirectoryNode | undefined {
    const way: DirectoryNode[] = [this.root];
    const waiting = [...names].reverse();
    let links = 0;
    for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
      if (name === "..") {
        if (way.length === 1) throw new MemberRefused("it goes through a symbolic link that leads out");
        way.pop();
        continue;
      }
      const parent = way[way.length - 1];
      const child = parent.children.get(name);
      if (child === undefined) {
        if (!create) return undefined;
        way.push(makeImplied(parent, name));
      } else if (child === "whiteout") {
        throw new MemberRefused("it lies below a name that the archive hides");
      } else if (isDirectory(child)) {
        way.push(child);
      } else if (child.target === undefined) {
        throw new MemberRefused("it lies below something that is not a directory");
      } else {
        if (child.target.startsWith("/"))
          throw new MemberRefused("it goes through a symbolic link that leads out, to an absolute path");
        if (++links > maxLinks) throw new MemberRefused("it goes through too many symbolic links");
        waiting.push(...child.target.split("/").filter(isStep).reverse());
      }
    }
    return way[way.length - 1];
  }
}

/** A directory that only members below it have named so far. */
function makeImplied(parent: DirectoryNode, name: Name): DirectoryNode {
  const directory = createDirectoryNode({ permissions: 0o755, modified: parent.modified });
  parent.children.set(name, directory);
  return directory;
}

export function replaceMetadata(directory: DirectoryNode, from: TreeNode): void {
  const { mode, uid, gid, modified, attributes } = from;
  Object.assign(directory, { mode, uid, gid, modified, attributes });
}

export function isDirectory(node: TreeNode): node is DirectoryNode {
  return node.children !== undefined;
}

export function splitPath(path: Name): Name[] {
  if (path.startsWith("/")) throw new MemberRefused("its name is absolute");
  const names = path.split("/").filter(isStep);
  for (const name of names) {
    if (name === "..") throw new MemberRefused("its name holds `..`");
    if (name.length > maxNameBytes) throw new MemberRefused(`a part of its name is longer than ${maxNameBytes} bytes`);
  }
  return names;
}

export function isStep(name: Name): boolean {
  return name !== "" && name !== ".";
}
