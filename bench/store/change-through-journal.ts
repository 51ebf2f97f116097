/** The second version's changes as a machine makes them: through a journal over the first. */
import { runWithFaults } from "../../cowfs/fault.ts";
import type { ResolveLayer } from "../../cowfs/union/stack.ts";
import { openUnion } from "../../cowfs/union/union.ts";
import { describeChange } from "./prepare-tree.ts";

export interface JournalChange {
  readonly journal: string;
  /** What lies below it. */
  readonly url: string;
  readonly resolve: ResolveLayer;
  /** Of regular files, from the root. */
  readonly paths: readonly string[];
  readonly signal: AbortSignal;
}

const caller = { uid: 0, gid: 0, groups: [] };
const noReply = Buffer.alloc(0);

export async function changeThroughJournal({ journal, url, resolve, paths, signal }: JournalChange): Promise<void> {
  const union = await openUnion({ journal, base: url, resolve, signal });
  try {
    for (const path of paths) {
      let id = union.rootId;
      for (const name of path.split("/")) id = await runWithFaults(() => union.lookup(caller, id, name), signal);
      const { size } = await runWithFaults(() => union.getAttributes(id), signal);
      const write = () => {
        union.write(caller, id, Math.floor(size / 2), describeChange(path));
        return noReply;
      };
      await runWithFaults(() => union.transact(undefined, write), signal);
    }
    await union.sync();
  } finally {
    await union.close();
  }
}
