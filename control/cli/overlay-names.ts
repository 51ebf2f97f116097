/** `xeno overlay ls|show|diff|tag|rm`: the names of overlays in the store, and what they mean. */
import type { Command } from "commander";
import { XenoError } from "../../cowfs/errors.ts";
import { runWithFaults } from "../../cowfs/fault.ts";
import { loadKey } from "../../xenostore/keys/key-ring.ts";
import { diffTrees } from "../../xenostore/publish/diff-trees.ts";
import { removeRef, writeRef } from "../../xenostore/publish/write-ref.ts";
import { listOwners, listRefs, resolveRef } from "../../xenostore/pull/resolve-ref.ts";
import { formatOverlayUrl, parseOverlayUrl } from "../../xenostore/refs/overlay-url.ts";
import { currentVersion } from "../../xenostore/refs/ref.ts";
import { readContext } from "./context.ts";
import { printJson, printResult, type Row } from "./output.ts";

const templateOwner = "templates";

export function addOverlayNames(overlay: Command): void {
  overlay
    .command("ls [owner]")
    .description("list the overlays of the store, with what cannot be believed")
    .addHelpText("after", "\nExample:\n  xeno overlay ls demo")
    .action(async (owner: string | undefined, _options, command: Command) => {
      const { json, home, signal } = readContext(command);
      const store = await home.openStore();
      const owners = owner === undefined ? await listOwners(store, { signal }) : [owner];
      const rows: Row[] = [];
      for (const listed of owners.filter((name) => name !== templateOwner)) {
        const refs = await listRefs(store, listed);
        const currents = new Map<string, string>();
        for (const { name, version } of refs.filter(({ version }) => version === currentVersion)) {
          const ref = await resolveRef(store, home.trust, listed, name, version, { signal }).catch(() => undefined);
          if (ref !== undefined) currents.set(name, ref.version);
        }
        for (const { name, version } of refs.filter(({ version }) => version !== currentVersion)) {
          const url = formatOverlayUrl({ owner: listed, name, version });
          const isCurrent = currents.get(name) === version;
          const current = json ? isCurrent : isCurrent ? "current" : "";
          try {
            const ref = await resolveRef(store, home.trust, listed, name, version, { signal });
            const created = new Date(ref.created).toISOString().slice(0, 19);
            rows.push({ url, current, tree: json ? ref.tree : ref.tree.slice(0, 12), created });
          } catch (error) {
            if (!(error instanceof XenoError)) throw error;
            rows.push({ url, current, problem: error.message });
          }
        }
      }
      printResult(json, rows);
    });

  overlay
    .command("show <url>")
    .description("what a name means now: its tree, what it lies over, who signed it, how large it is")
    .addHelpText("after", "\nExample:\n  xeno overlay show xenostore://demo/apache")
    .action(async (url: string, _options, command: Command) => {
      const { json, home, signal } = readContext(command);
      const layers = await home.openLayers();
      const { owner, name, version, tree, layout, base, created, expires } = await layers.resolveUrl(url, signal);
      const opened = await layers.open(url, tree, signal);
      printResult(json, {
        url: formatOverlayUrl({ owner, name, version }),
        tree,
        layout,
        base: base.map((below) => below.tree).join(" ") || undefined,
        files: opened.tree.inodeCount,
        bytes: opened.tree.contentBytes,
        created: new Date(created).toISOString(),
        expires: expires === undefined ? undefined : new Date(expires).toISOString(),
      });
      await layers.close();
    });

  overlay
    .command("diff <one> <other>")
    .description("the paths in which two overlays or templates differ: + added, - removed, ~ changed")
    .addHelpText("after", "\nExample:\n  xeno overlay diff xenostore://demo/apache@1 xenostore://demo/apache")
    .action(async (one: string, other: string, _options, command: Command) => {
      const { json, home, signal } = readContext(command);
      const layers = await home.openLayers();
      const [before, after] = [await layers.open(one, undefined, signal), await layers.open(other, undefined, signal)];
      const changes = await runWithFaults(() => diffTrees(before.tree, after.tree), signal);
      if (json) printJson(changes);
      else for (const { sign, path } of changes) process.stdout.write(`${sign} ${path}\n`);
      await layers.close();
    });

  overlay
    .command("tag <url> <version>")
    .description("give what a name means now another version of its own, and make it the newest")
    .option("--key <name>", "the key to sign with (default: the owner's name)")
    .addHelpText("after", "\nExample:\n  xeno overlay tag xenostore://demo/apache stable")
    .action(async (url: string, version: string, options: { key?: string }, command: Command) => {
      const { json, home, signal } = readContext(command);
      const { owner, name, version: from } = parseOverlayUrl(url);
      const key = await loadKey(home.keys, options.key ?? owner);
      const store = await home.openStore();
      const ref = await resolveRef(store, home.trust, owner, name, from, { signal });
      const tagged = await writeRef(store, { ...ref, version, created: Date.now() }, key, { signal });
      printResult(json, { url: formatOverlayUrl(tagged), tree: tagged.tree });
    });

  overlay
    .command("rm <url>")
    .description("take a version away, or with no version all of a name; `xeno store gc` frees the room")
    .addHelpText(
      "after",
      `
What runs from it goes on. Where the version was the newest, the name has no newest one until the next is published or
tagged.

Example:
  xeno overlay rm xenostore://demo/apache@1`,
    )
    .action(async (url: string, _options, command: Command) => {
      const { json, home, signal } = readContext(command);
      const { owner, name, version } = parseOverlayUrl(url);
      const store = await home.openStore();
      const versions = (await listRefs(store, owner))
        .filter((ref) => ref.name === name && ref.version !== currentVersion)
        .map((ref) => ref.version);
      const wanted = version === currentVersion ? versions : versions.filter((known) => known === version);
      if (wanted.length === 0)
        throw new XenoError("overlay-unknown", `there is no ${url} in ${store.name}`, { hint: "See: xeno overlay ls" });
      for (const removed of wanted) await removeRef(store, { owner, name, version: removed }, { signal });
      printResult(
        json,
        wanted.map((removed) => ({ removed: formatOverlayUrl({ owner, name, version: removed }) })),
      );
    });
}
