/** The `xeno` command: each noun is a file of this folder. */
import { Command, CommanderError } from "commander";
import { createDoctorCommand } from "./doctor-command.ts";
import { createDomainCommands } from "./domain-commands.ts";
import { createKeyCommands } from "./key-commands.ts";
import { createMountCommands } from "./mount-commands.ts";
import { exitCodes, reportError } from "./output.ts";
import { createOverlayCommands } from "./overlay-commands.ts";
import { createServerCommands } from "./server-commands.ts";
import { createTemplateCommands } from "./template-commands.ts";

const program = new Command("xeno")
  .description("Publish a file-system overlay once and boot it on many servers.")
  .option("--json", "print results, and errors, as JSON")
  .option("--store <directory>", "the XenoStore to use (default: $XENO_STORE, or store in $XENO_HOME)")
  .addHelpText(
    "after",
    `
Results go to stdout, progress and errors to stderr.
Exit codes: 0 done, 1 error, 2 wrong usage, 3 done in part, 130 interrupted.
State lies in $XENO_HOME (default: xeno in your data directory).

Example:
  xeno template ls
  xeno deploy xenostore://demo/apache --on a,b,c`,
  )
  .showHelpAfterError("(add --help for the usage)")
  .exitOverride();

for (const command of [
  ...createTemplateCommands(),
  ...createKeyCommands(),
  ...createMountCommands(),
  ...createOverlayCommands(),
  ...createServerCommands(),
  ...createDomainCommands(),
  createDoctorCommand(),
])
  program.addCommand(command);

const interrupted = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => interrupted.abort(signal));
(program as Command & { interrupted?: AbortSignal }).interrupted = interrupted.signal;

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : exitCodes.usage;
  else if (interrupted.signal.aborted) process.exitCode = exitCodes.interrupted;
  else {
    reportError(program.opts().json === true, error);
    process.exitCode = exitCodes.error;
  }
}
process.exit();
