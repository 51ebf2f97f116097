/** Reads an image of an OCI image layout into nodes: its layers, unpacked one over the other. */
import type { TreeNode } from "../../../cowfs/trees/node.ts";
import type { ContentSink } from "../../../xenostore/publish/content-sink.ts";
import type { ImportOptions } from "../import-options.ts";
import { unpackTar } from "../import-tar.ts";
import { ImportMeter } from "../meter.ts";
import { readImageLayers, streamBlob } from "./image-layout.ts";
import { LayeredTree } from "./layered-tree.ts";

/** `name` as in `oci:DIRECTORY:NAME`; needed where the layout holds several images. Throws `image-refused`, `tar-refused`. */
export async function importImage(
  { directory, name }: { readonly directory: string; readonly name?: string },
  sink: ContentSink,
  options: ImportOptions = {},
): Promise<TreeNode> {
  const tree = new LayeredTree();
  const meter = new ImportMeter(options, "tar-refused");
  for (const layer of await readImageLayers(directory, name)) {
    // Wholly, before any of it is believed: an archive's reader stops where the archive ends.
    for await (const _ of streamBlob(directory, layer)) options.signal?.throwIfAborted();
    tree.beginLayer();
    await unpackTar(streamBlob(directory, layer), tree, sink, meter, { ociWhiteouts: true });
  }
  meter.report("done");
  return tree.root;
}
