import { FileType, type Name } from "../../cowfs/file-system.ts";
import {
  createDirectoryNode,
  createFileNode,
  createSpecialNode,
  createSymlinkNode,
  type TreeNode,
} from "../../cowfs/trees/node.ts";
import type { ContentSink } from "../../xenostore/publish/content-sink.ts";
import { decompress } from "./decompress.ts";
import type { ImportOptions } from "./import-options.ts";
import { ImportMeter } from "./meter.ts";
import { readTar, refuseTar, type TarMember } from "./tar/read-tar.ts";
import { BadTar } from "./tar/tar-header.ts";
import { MemberRefused, type TarTarget, TreeBuilder } from "./tree-builder.ts";

export interface TarImportOptions extends ImportOptions {
  /** Read `.wh.NAME` and `.wh..wh..opq` as whiteouts and opaque directories (OCI image specification, layer.md). */
  readonly ociWhiteouts?: boolean;
  /** Paths without a leading `./` of files that whoever imports will replace: they come empty, and the sink sees nothing of them. */
  readonly replaced?: ReadonlySet<Name>;
}

/**
 * Reads a tar archive, compressed or not, into nodes; its files' content goes to the sink on the way.
 *
 * Throws XenoError `tar-refused` naming the member and the reason; nothing of such an archive becomes a tree.
 */
export async function importTar(
  source: AsyncIterable<Uint8Array>,
  sink: ContentSink,
  options: TarImportOptions = {},
): Promise<TreeNode> {
  const tree = new TreeBuilder();
  const meter = new ImportMeter(options, "tar-refused");
  await unpackTar(source, tree, sink, meter, options);
  meter.report("done");
  return tree.root;
}

/** The same into a tree that may have something already. */
export async function unpackTar(
  source: AsyncIterable<Uint8Array>,
  tree: TarTarget,
  sink: ContentSink,
  meter: ImportMeter,
  options: Pick<TarImportOptions, "ociWhiteouts" | "replaced">,
): Promise<void> {
  for await (const member of readTar(meter.bound(decompress(source)))) {
    meter.addMember(member.path);
    try {
      if (!(options.ociWhiteouts && addWhiteout(tree, member))) {
        const isReplaced = options.replaced?.has(member.path.replace(/^\.\//, "")) ?? false;
        await addMember(tree, isReplaced ? { ...member, size: 0 } : member, sink, meter);
      }
    } catch (error) {
      if (error instanceof MemberRefused || error instanceof BadTar) throw refuseTar(member.path, error.message, error);
      throw error;
    }
  }
}

async function addMember(tree: TarTarget, member: TarMember, sink: ContentSink, meter: ImportMeter): Promise<void> {
  const { path, target } = member;
  if (member.type === "hardlink") tree.addHardLink(path, target);
  else if (member.type === "directory") tree.add(path, createDirectoryNode(member));
  else if (member.type === "symlink") tree.add(path, createSymlinkNode(member, target));
  else if (member.type === "file") {
    // Placed before its content is taken: a name that is refused costs nothing.
    const node = createFileNode(member, [], member.size);
    tree.add(path, node);
    node.pieces = member.size === 0 ? [] : await sink.addContent(meter.count(member.content));
  } else {
    tree.add(path, createSpecialNode(member, specialTypes[member.type], member.deviceMajor, member.deviceMinor));
  }
}

const specialTypes = { character: FileType.character, block: FileType.block, fifo: FileType.fifo };

/** True where the member was a mark and not a file. */
function addWhiteout(tree: TarTarget, { path }: TarMember): boolean {
  const slash = path.lastIndexOf("/") + 1;
  const directory: Name = path.slice(0, slash);
  const name: Name = path.slice(slash);
  if (!name.startsWith(".wh.")) return false;
  if (name === ".wh..wh..opq") tree.markOpaque(directory);
  // Other names with a second mark are aufs's own business (its hard link directory, for one).
  else if (!name.startsWith(".wh..wh.")) tree.addWhiteout(`${directory}${name.slice(4)}`);
  return true;
}
