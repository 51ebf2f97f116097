/**
 * Deployments that follow their names: what the URLs in a journal mean now, and the journal laid over that.
 *
 * A URL that pins its tree means the same for ever; only of a name can more than one tree come.
 */
import type { Slot } from "../../cowfs/journals/state.ts";
import type { Layers } from "../../templates/layers/open-layers.ts";
import { restackJournal } from "../../templates/overlays/restack-journal.ts";
import type { OpenedTree } from "../../xenostore/pull/open-stored-tree.ts";

const followed = ["template://", "xenostore://"];

/** Whether one of these layers is another tree now. Rejects with what resolving rejects with. */
export async function findChanged(
  layers: Pick<Layers, "resolveUrl">,
  slots: Iterable<Slot>,
  signal: AbortSignal,
): Promise<boolean> {
  for (const { url, identity } of slots) {
    if (!followed.some((scheme) => url.startsWith(scheme))) continue;
    if ((await layers.resolveUrl(url, signal)).tree !== identity) return true;
  }
  return false;
}

/** Lays a journal that nobody has open over what `url` means now; returns that tree. */
export async function followUrl(
  layers: Pick<Layers, "open" | "resolveUrl">,
  journal: string,
  url: string,
  signal: AbortSignal,
): Promise<string> {
  const { tree } = await layers.resolveUrl(url, signal);
  const opened: OpenedTree[] = [];
  try {
    await restackJournal({
      journal,
      url,
      tree,
      signal,
      resolve: async (layer, pinned, given) => {
        const held = await layers.open(layer, pinned, given);
        opened.push(held);
        return held.tree;
      },
    });
  } finally {
    for (const held of opened) await held.close();
  }
  return tree;
}
