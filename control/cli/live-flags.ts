/** What of the host and its network `.mount` files may reach: said by whoever runs the command, nothing by default. */
import { type Command, InvalidArgumentError } from "commander";
import { type LivePolicy, LiveRules } from "../../templates/layers/live-policy.ts";
import { collect } from "./arguments.ts";

export interface LiveFlags {
  readonly allowLayer?: readonly string[];
  readonly afsRoot?: string;
}

export function addLiveOptions(command: Command): Command {
  return command
    .option(
      "--allow-layer <line>",
      "let .mount files reach this and what is below it, such as 'ro file:///srv/www' or 'rw nfs://10.0.0.5/export'",
      collect(parseAllowed),
    )
    .option("--afs-root <directory>", "where afs:// is mounted here (default: /afs)");
}

export function livePolicy({ allowLayer, afsRoot }: LiveFlags): LivePolicy | undefined {
  if (allowLayer === undefined) return undefined;
  return { allow: allowLayer, ...(afsRoot === undefined ? {} : { afsRoot }) };
}

function parseAllowed(line: string): string {
  try {
    new LiveRules({ allow: [line] });
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
  return line;
}
