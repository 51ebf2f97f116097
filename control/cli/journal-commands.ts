/** `xeno journal`: looking after journals that nobody has open. */
import { Command } from "commander";
import { XenoError } from "../../cowfs/errors.ts";
import { holdsJournal } from "../../cowfs/journals/identity.ts";
import { Journal } from "../../cowfs/journals/journal.ts";
import { verifyJournal } from "../../cowfs/journals/verify-journal.ts";
import { readContext } from "./context.ts";
import { exitCodes, formatBytes, printJson, printResult, tell } from "./output.ts";
import { withProgress } from "./progress.ts";

export function createJournalCommands(): Command {
  const journal = new Command("journal").description("the writable layers of domains, mounts and exports");
  journal
    .command("verify")
    .description("read all of a journal that nobody has open, and compare it with its checksums; nothing is changed")
    .argument("<directory>", "the journal's")
    .addHelpText("after", "\nExit code 3 when something is damaged.\n\nExample:\n  xeno journal verify ./changes")
    .action(async (directory: string, _flags: object, command: Command) => {
      const { json, signal } = readContext(command);
      const found = await withProgress((show) =>
        verifyJournal(directory, {
          signal,
          onProgress: (done, total) => show(`verified ${formatBytes(done)} of ${formatBytes(total)}`),
        }),
      );
      if (found.damage.length > 0) process.exitCode = exitCodes.partial;
      if (json) return printJson(found);
      const { damage, bytes, comparedBytes, ...counts } = found;
      const [data, compared] = [formatBytes(bytes), formatBytes(comparedBytes)];
      printResult(false, { ...counts, data, compared, damaged: damage.length });
      for (const line of damage) tell(line);
    });
  journal
    .command("snapshot")
    .description("keep what a journal that nobody has open shows now, under a name")
    .argument("<directory>", "the journal's")
    .argument("<name>", "of the snapshot")
    .addHelpText(
      "after",
      `
It costs nothing, and keeps the disk from what is overwritten or removed later. \`xeno publish --snapshot\` publishes it.

Example:
  xeno journal snapshot ./changes before-upgrade`,
    )
    .action(async (directory: string, name: string, _flags: object, command: Command) => {
      const { json } = readContext(command);
      printResult(json, { ...(await withJournal(directory, ({ snapshots }) => snapshots.take(name))) });
    });
  journal
    .command("snapshots")
    .description("list the snapshots of a journal that nobody has open, oldest first")
    .argument("<directory>", "the journal's")
    .addHelpText("after", "\nExample:\n  xeno journal snapshots ./changes")
    .action(async (directory: string, _flags: object, command: Command) => {
      const { json } = readContext(command);
      const found = await withJournal(directory, async ({ snapshots }) => snapshots.list());
      if (json) return printJson(found);
      for (const { name, created, heldBytes } of found)
        process.stdout.write(`${name}  ${new Date(created).toISOString()}  ${formatBytes(heldBytes)}\n`);
    });
  return journal;
}

/** Throws `journal-unknown` rather than make one. */
async function withJournal<T>(directory: string, use: (journal: Journal) => Promise<T>): Promise<T> {
  if (!holdsJournal(directory)) throw new XenoError("journal-unknown", `there is no journal in ${directory}`);
  const journal = Journal.open(directory);
  return await use(journal).finally(() => journal.close());
}
