/** `xeno journal`: looking after journals that nobody has open. */
import { Command } from "commander";
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
  return journal;
}
