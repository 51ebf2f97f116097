/** The commands as one program; each noun is a file of this folder. Wrong usage is thrown as a CommanderError. */
import { Command } from "commander";
import { setSignal } from "./context.ts";

interface CommandFile {
  /** What it makes. */
  readonly names: readonly string[];
  load(): Promise<Command | Command[]>;
}

/** As the help lists them. A command loads its own file only: all of them together take some 0.4 s to load. */
export const commandFiles: readonly CommandFile[] = [
  { names: ["doctor"], load: async () => (await import("./doctor-command.ts")).createDoctorCommand() },
  { names: ["key"], load: async () => (await import("./key-commands.ts")).createKeyCommands() },
  { names: ["template"], load: async () => (await import("./template-commands.ts")).createTemplateCommands() },
  { names: ["cache"], load: async () => (await import("./cache-commands.ts")).createCacheCommands() },
  { names: ["mount"], load: async () => (await import("./mount-command.ts")).createMountCommand() },
  { names: ["journal"], load: async () => (await import("./journal-commands.ts")).createJournalCommands() },
  { names: ["serve"], load: async () => (await import("./serve-command.ts")).createServeCommand() },
  { names: ["overlay", "publish"], load: async () => (await import("./overlay-commands.ts")).createOverlayCommands() },
  { names: ["store"], load: async () => (await import("./store-commands.ts")).createStoreCommands() },
  { names: ["server"], load: async () => (await import("./server-commands.ts")).createServerCommands() },
  { names: ["deploy"], load: async () => (await import("./deploy-command.ts")).createDeployCommand() },
  {
    names: ["ps", "logs", "resize", "start", "stop"],
    load: async () => (await import("./domain-commands.ts")).createDomainCommands(),
  },
  {
    names: ["suspend", "resume", "checkpoint"],
    load: async () => (await import("./checkpoint-commands.ts")).createCheckpointCommands(),
  },
  { names: ["migrate"], load: async () => (await import("./migrate-command.ts")).createMigrateCommand() },
  { names: ["rebalance"], load: async () => (await import("./balance-commands.ts")).createRebalanceCommand() },
  { names: ["console"], load: async () => (await import("./console-command.ts")).createConsoleCommand() },
  { names: ["forward"], load: async () => (await import("./forward-command.ts")).createForwardCommand() },
  { names: ["corporation"], load: async () => (await import("./corporation-commands.ts")).createCorporationCommands() },
  { names: ["order"], load: async () => (await import("./order-commands.ts")).createOrderCommands() },
  { names: ["information"], load: async () => (await import("./information-commands.ts")).createInformationCommands() },
  { names: ["find"], load: async () => (await import("./find-command.ts")).createFindCommand() },
  { names: ["session"], load: async () => (await import("./session-commands.ts")).createSessionCommands() },
];

/** For the words of a command line; without a known command among them, with all. `signal` ends what a command does, in order. */
export async function createProgram(words: readonly string[], signal: AbortSignal): Promise<Command> {
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
  const wanted = words.find((word) => !word.startsWith("-"));
  const asked = commandFiles.filter(({ names }) => wanted !== undefined && names.includes(wanted));
  const files = asked.length > 0 ? asked : commandFiles;
  const commands = (await Promise.all(files.map((file) => file.load()))).flat();
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
