import { randomUUID } from "node:crypto";
import path from "node:path";
import { Command } from "commander";
import { buildOverlay } from "../../templates/overlays/build-overlay.ts";
import { publishOverlay } from "../../templates/overlays/publish-overlay.ts";
import { loadKey } from "../../xenostore/keys/key-ring.ts";
import { parseOverlayUrl } from "../../xenostore/refs/overlay-url.ts";
import { parseNumber } from "./arguments.ts";
import { readContext, requireRoot } from "./context.ts";
import { beginWithJournal, requireNewJournal } from "./new-journal.ts";
import { formatBytes, printResult, tell } from "./output.ts";
import { addOverlayNames } from "./overlay-names.ts";
import { bePatient, createPatienceOption, type PatienceFlag } from "./patience.ts";
import { withProgress } from "./progress.ts";

const dayMs = 86_400_000;

export function createOverlayCommands(): Command[] {
  const overlay = new Command("overlay").description("what a service changes of its template");

  overlay
    .command("build <script>")
    .description("run a script in a chroot of a template, and keep what it changed as a journal")
    .requiredOption("--from <url>", "what to build on")
    .option("--journal <directory>", "where to keep the changes; must not exist (default: a new one in $XENO_HOME)")
    .addHelpText(
      "after",
      `
The script runs as root, on your machine: a chroot is no jail. A build that fails leaves no journal.

Example:
  xeno overlay build --from template://Debian/12/current ./apache.sh`,
    )
    .action(async (script: string, options: { from: string; journal?: string }, command: Command) => {
      const { json, home, signal } = readContext(command);
      requireRoot("xeno overlay build", "mounting the union and running the script in a chroot of it");
      const name = `${path.basename(script)}-${randomUUID().slice(0, 8)}`;
      const journal = path.resolve(options.journal ?? home.at("builds", name));
      await requireNewJournal(journal);
      const layers = await home.openLayers();
      await beginWithJournal(journal, () =>
        buildOverlay({ layers, from: options.from, script, journal, signal, onOutput: tell }),
      );
      await layers.close();
      printResult(json, { journal, from: options.from });
    });

  addOverlayNames(overlay);

  const publish = new Command("publish")
    .description("sign a journal's changes, a directory or a tarball, and put them into the XenoStore")
    .argument("<source>", "a journal, a directory or a tarball")
    .argument("<url>", "xenostore://OWNER/NAME[@VERSION]")
    .option("--key <name>", "the key to sign with (default: the owner's name)")
    .addOption(createPatienceOption())
    .option("--expires <days>", "from then on nothing new is deployed from it (default: never)", parseNumber)
    .option("--snapshot <name>", "what the journal showed when this snapshot was taken (default: what it shows now)")
    .addHelpText(
      "after",
      `
Examples:
  xeno publish ./changes xenostore://demo/apache
  xeno publish ./changes xenostore://demo/apache --expires 90
  xeno publish ./changes xenostore://demo/apache --snapshot before-upgrade`,
    )
    .action(
      async (
        source: string,
        url: string,
        options: { key?: string; expires?: number; snapshot?: string } & PatienceFlag,
        command: Command,
      ) => {
        const { json, home, signal } = readContext(command);
        const key = await loadKey(home.keys, options.key ?? parseOverlayUrl(url).owner);
        const store = await home.openStore({ create: true, ...bePatient(options) });
        const layers = await home.openLayers(store);
        const published = await withProgress((show) =>
          publishOverlay({
            layers,
            store,
            key,
            source: path.resolve(source),
            snapshot: options.snapshot,
            url,
            expires: options.expires === undefined ? undefined : Date.now() + options.expires * dayMs,
            signal,
            onProgress: ({ contentBytes, sentBytes }) =>
              show(`read ${formatBytes(contentBytes)}, sent ${formatBytes(sentBytes)}`),
          }),
        );
        await layers.close();
        const { treeId: tree, files, bytes, newChunks, newBytes, reusedChunks, sentBytes } = published;
        printResult(json, { url: published.url, tree, files, bytes, newChunks, newBytes, reusedChunks, sentBytes });
      },
    );

  return [overlay, publish];
}
