/** The commands as one program; each noun is a file of this folder. Wrong usage is thrown as a CommanderError. */
import { Command } from "commander";
import { createCacheCommands } from "./cache-commands.ts";
import { createCheckpointCommands } from "./checkpoint-commands.ts";
import { createConsoleCommand } from "./console-command.ts";
import { setSignal } from "./context.ts";
import { createCorporationCommands } from "./corporation-commands.ts";
import { createDeployCommand } from "./deploy-command.ts";
import { createDoctorCommand } from "./doctor-command.ts";
import { createDomainCommands } from "./domain-commands.ts";
import { createFindCommand } from "./find-command.ts";
import { createForwardCommand } from "./forward-command.ts";
import { createInformationCommands } from "./information-commands.ts";
import { createJournalCommands } from "./journal-commands.ts";
import { createKeyCommands } from "./key-commands.ts";
import { createMountCommand } from "./mount-command.ts";
import { createOrderCommands } from "./order-commands.ts";
import { createOverlayCommands } from "./overlay-commands.ts";
import { createServeCommand } from "./serve-command.ts";
import { createServerCommands } from "./server-commands.ts";
import { createStoreCommands } from "./store-commands.ts";
import { createTemplateCommands } from "./template-commands.ts";

/** `signal` ends whatever the commands do, in order. */
export function createProgram(signal: AbortSignal): Command {
  const program = new Command("xeno")
    .description("Publish a file-system overlay once and boot it on many servers.")
    .option("--json", "print results, and errors, as JSON")
    .option("--store <url>", "the XenoStore: a directory, s3://… or https://… (see `xeno store --help`)")
    .addHelpText(
      "after",
      `
Results go to stdout, progress and errors to stderr.
Exit codes: 0 done, 1 error, 2 wrong usage, 3 done in part, 130 interrupted.
State lies in $XENO_HOME (default: xeno in your data directory).

Example:
  xeno template ls --json`,
    )
    .configureOutput({ outputError: () => {} })
    .exitOverride();
  const commands = [
    createDoctorCommand(),
    createKeyCommands(),
    createTemplateCommands(),
    createCacheCommands(),
    createMountCommand(),
    createJournalCommands(),
    createServeCommand(),
    ...createOverlayCommands(),
    createStoreCommands(),
    createServerCommands(),
    createDeployCommand(),
    ...createDomainCommands(),
    ...createCheckpointCommands(),
    createConsoleCommand(),
    createForwardCommand(),
    createCorporationCommands(),
    createOrderCommands(),
    createInformationCommands(),
    createFindCommand(),
  ];
  for (const command of commands) {
    program.addCommand(command);
    inheritSettings(command, program);
  }
  setSignal(program, signal);
  return program;
}

/** commander's `addCommand` leaves a command its own settings: it would print its own errors, and exit. */
function inheritSettings(command: Command, from: Command): void {
  command.copyInheritedSettings(from);
  for (const child of command.commands) inheritSettings(child, from);
}
