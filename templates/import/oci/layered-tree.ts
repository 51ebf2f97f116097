/**
 * The root file system of an OCI image: layers unpacked one over the other (OCI image specification 1.1, layer.md).
 *
 * - (O1) A member replaces what lower layers have under its name; a directory over a directory changes its metadata only.
 * - (O2) A whiteout removes what lower layers have, and nothing that its own layer brings, whichever comes first in the
 *   archive; so does an opaque mark, below its directory.
 * - (O3) A member goes where the directories before it lead, through symbolic links as they would be followed inside the
 *   image: none leads out of it, an absolute one starts at its root, and `..` stops there.
 */
import type { Name } from "../../../cowfs/file-system.ts";
import { createDirectoryNode, type TreeNode } from "../../../cowfs/trees/node.ts";
import {
  type DirectoryNode,
  isDirectory,
  isStep,
  MemberRefused,
  maxLinks,
  replaceMetadata,
  splitPath,
  type TarTarget,
} from "../tree-builder.ts";

export class LayeredTree implements TarTarget {
  readonly root: DirectoryNode = createDirectoryNode({ permissions: 0o755 });
  /** Names that the layer that is being unpacked has brought (O2). */
  #fresh = new Map<DirectoryNode, Set<Name>>();

  /** What follows lies over what came before. */
  beginLayer(): void {
    this.#fresh = new Map();
  }

  add(path: Name, node: TreeNode): void {
    const names = splitPath(path);
    const name = names.pop();
    if (name === undefined) {
      if (!isDirectory(node)) throw new MemberRefused("the root is not a directory");
      replaceMetadata(this.root, node);
      return;
    }
    const parent = this.#enter(names);
    const existing = parent.children.get(name);
    const merges = existing !== undefined && existing !== "whiteout" && isDirectory(existing) && isDirectory(node);
    if (merges) replaceMetadata(existing, node);
    else parent.children.set(name, node);
    const fresh = this.#fresh.get(parent);
    if (fresh === undefined) this.#fresh.set(parent, new Set([name]));
    else fresh.add(name);
  }

  addHardLink(path: Name, target: Name): void {
    const names = splitPath(target);
    const name = names.pop();
    const node = name === undefined ? undefined : this.#find(names)?.children.get(name);
    if (node === undefined || node === "whiteout")
      throw new MemberRefused("it is a hard link to a member that is not there");
    if (isDirectory(node)) throw new MemberRefused("it is a hard link to a directory");
    this.add(path, node);
  }

  addWhiteout(path: Name): void {
    const names = splitPath(path);
    const name = names.pop();
    if (name === undefined) throw new MemberRefused("it would hide the root");
    const parent = this.#find(names);
    if (parent !== undefined) this.#hide(parent, name);
  }

  markOpaque(path: Name): void {
    const directory = this.#find(splitPath(path));
    if (directory !== undefined) this.#hideAll(directory);
  }

  /** Removes what lower layers have under a name. A directory stays while this layer has brought something into it. */
  #hide(parent: DirectoryNode, name: Name): void {
    const child = parent.children.get(name);
    if (child === undefined || child === "whiteout") return;
    if (isDirectory(child)) this.#hideAll(child);
    const isLeft = isDirectory(child) && child.children.size > 0;
    if (!isLeft && !this.#fresh.get(parent)?.has(name)) parent.children.delete(name);
  }

  #hideAll(directory: DirectoryNode): void {
    for (const name of [...directory.children.keys()]) this.#hide(directory, name);
  }

  /** Walks down (O3), and makes directories that no member has named yet. */
  #enter(names: readonly Name[]): DirectoryNode {
    return this.#walk(names, (parent, name) => {
      const made = createDirectoryNode({ permissions: 0o755, modified: parent.modified });
      parent.children.set(name, made);
      return made;
    })!;
  }

  #find(names: readonly Name[]): DirectoryNode | undefined {
    return this.#walk(names, () => undefined);
  }

  #walk(
    names: readonly Name[],
    onMissing: (parent: DirectoryNode, name: Name) => DirectoryNode | undefined,
  ): DirectoryNode | undefined {
    const way: DirectoryNode[] = [this.root];
    const waiting = [...names].reverse();
    let links = 0;
    for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
      if (name === "..") {
        if (way.length > 1) way.pop();
        continue;
      }
      const parent = way[way.length - 1];
      const child = parent.children.get(name);
      if (child === undefined || child === "whiteout") {
        const made = onMissing(parent, name);
        if (made === undefined) return undefined;
        way.push(made);
      } else if (isDirectory(child)) way.push(child);
      else if (child.target === undefined) throw new MemberRefused("it lies below something that is not a directory");
      else {
        if (++links > maxLinks) throw new MemberRefused("it goes through too many symbolic links");
        if (child.target.startsWith("/")) way.length = 1;
        waiting.push(...child.target.split("/").filter(isStep).reverse());
      }
    }
    return way[way.length - 1];
  }
}
