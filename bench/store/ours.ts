/** Program: what there is no command for. `change JOURNAL LIST`, `all`, `first`; in `$XENO_HOME`. */
import { readFile } from "node:fs/promises";
import { enableCompileCache } from "node:module";
import { join } from "node:path";

// As the xeno command does.
enableCompileCache(join(import.meta.dirname, "../../node_modules/.cache/xeno"));
const { findHome } = await import("../../control/cli/home.ts");
const { runWithFaults } = await import("../../cowfs/fault.ts");
const { changeThroughJournal } = await import("./change-through-journal.ts");
const { ourUrl } = await import("./contenders.ts");

const [what, journal, list] = process.argv.slice(2);
const { signal } = new AbortController();
const layers = await findHome().openLayers();

if (what === "change") {
  const paths = (await readFile(list, "latin1")).split("\n");
  await changeThroughJournal({ journal, url: `${ourUrl}@1`, resolve: layers.resolve, paths, signal });
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
