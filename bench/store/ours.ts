/** Program: what there is no command for. `change JOURNAL LIST`, `all`, `first`; in `$XENO_HOME`. */
import { readFile } from "node:fs/promises";
import { findHome } from "../../control/cli/home.ts";
import { runWithFaults } from "../../cowfs/fault.ts";
import { openUnion } from "../../cowfs/union/union.ts";
import { ourUrl } from "./contenders.ts";
import { describeChange } from "./prepare-tree.ts";

const [what, journal, list] = process.argv.slice(2);
const root = { uid: 0, gid: 0, groups: [] };
const { signal } = new AbortController();
const layers = await findHome().openLayers();

if (what === "change") {
  const union = await openUnion({ journal, base: `${ourUrl}@1`, resolve: layers.resolve, signal });
  for (const path of (await readFile(list, "latin1")).split("\n")) {
    let id = union.rootId;
    for (const name of path.split("/")) id = await runWithFaults(() => union.lookup(root, id, name), signal);
    const { size } = await runWithFaults(() => union.getAttributes(id), signal);
    await runWithFaults(() => union.write(root, id, Math.floor(size / 2), describeChange(path)), signal);
  }
  await union.close();
} else {
  const opened = await layers.open(`${ourUrl}@1`, undefined, signal);
  if (what === "all") await opened.bringAhead({ signal });
  else {
    const { tree } = opened;
    const inode = ["etc", "debian_version"].reduce((directory, name) => tree.find(directory, name), 0);
    const content = Buffer.alloc(tree.size(inode));
    await runWithFaults(() => tree.read(inode, 0, content.length, content, 0), signal);
    process.stdout.write(content);
  }
}
await layers.close();
