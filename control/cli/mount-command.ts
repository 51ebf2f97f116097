import path from "node:path";
import { Command } from "commander";
import type { XenoError } from "../../cowfs/errors.ts";
import { runWithFaults } from "../../cowfs/fault.ts";
import { mountFileSystem } from "../../cowfs/fuse/mount.ts";
import { checkMountPoint } from "../../cowfs/fuse/mount-point.ts";
import type { ResolveLayer } from "../../cowfs/union/stack.ts";
import { openUnion, type UnionFileSystem } from "../../cowfs/union/union.ts";
import { readContext } from "./context.ts";
import { addLiveOptions, type LiveFlags, livePolicy } from "./live-flags.ts";
import { beginWithJournal, chooseJournal } from "./new-journal.ts";
import { printResult, tellTrouble } from "./output.ts";

const root = { uid: 0, gid: 0, groups: [] };

export function createMountCommand(): Command {
  return addLiveOptions(new Command("mount"))
    .description("mount a template or an overlay through FUSE, with a journal for changes")
    .argument("<url>", "template://… or xenostore://…")
    .argument("<directory>", "an empty directory")
    .option("--journal <directory>", "keep the changes here (default: a new one in $XENO_HOME)")
    .addHelpText(
      "after",
      `
Runs until the directory is unmounted or Ctrl-C. The journal stays: mount the same URL with it again to go on, or
publish it.

Example:
  xeno mount template://Debian/12/current /mnt --journal ./changes`,
    )
    .action(async (url: string, directory: string, options: { journal?: string } & LiveFlags, command: Command) => {
      const { json, home, signal } = readContext(command);
      const journal = chooseJournal(home, options.journal);
      await checkMountPoint(directory);
      const layers = await home.openLayers(undefined, livePolicy(options));
      const { union, mounted } = await beginWithJournal(journal, async () => {
        const union = await openForMount(url, journal, layers.resolve, signal);
        try {
          const mounted = await mountFileSystem(union, directory, {
            name: url,
            // Live layers change by themselves: the kernel must not believe what it saw.
            ...(options.allowLayer === undefined ? {} : { validSeconds: 0 }),
            signal,
            onError: (error) => tellTrouble(`${directory}: an operation failed`, error),
          });
          return { union, mounted };
        } catch (error) {
          await union.close();
          throw error;
        }
      });
      try {
        printResult(json, { mounted: path.resolve(directory), url, journal });
        await mounted.unmounted;
      } finally {
        await union.close();
        await layers.close();
      }
    });
}

/** Refuses a root whose `.mount` cannot be honoured; of those below it tells when they are found. */
async function openForMount(
  url: string,
  journal: string,
  resolve: ResolveLayer,
  signal: AbortSignal,
): Promise<UnionFileSystem> {
  let refusal: XenoError | undefined;
  let isOpen = false;
  const onMountError = (error: XenoError) => {
    refusal ??= error;
    if (isOpen) tellTrouble(url, error);
  };
  const union = await openUnion({ journal, base: url, resolve, signal, onMountError });
  try {
    await runWithFaults(() => union.list(root, union.rootId, 0, 1), signal);
    isOpen = true;
    return union;
  } catch (error) {
    await union.close();
    throw refusal ?? error;
  }
}
