/** What `xeno server run` is told: its options, over its configuration file. */
import type { Command } from "commander";
import { readConfiguration, type ServerConfiguration } from "../server/configuration.ts";
import { parseBytes, parseListen } from "./arguments.ts";
import { type Context, readContext } from "./context.ts";
import { findHome } from "./home.ts";
import type { RunFlags } from "./run-server.ts";

export interface RunOptions extends Partial<RunFlags> {
  readonly config?: string;
  readonly schema?: boolean;
}

/** Throws `configuration-invalid`, and what is wrong usage. */
export async function readRunFlags(
  { config, schema: _, ...options }: RunOptions,
  command: Command,
): Promise<{ context: Context; flags: RunFlags }> {
  const context = readContext(command);
  const said: Partial<ServerConfiguration> = config === undefined ? {} : await readConfiguration(config);
  const { $schema: _schema, store, listen, cacheSize, fillRate, allowLayers: allowLayer, ...others } = said;
  const flags = {
    ...others,
    ...(listen === undefined ? {} : { listen: parseListen(listen) }),
    ...(cacheSize === undefined ? {} : { cacheSize: parseBytes(cacheSize) }),
    ...(fillRate === undefined ? {} : { fillRate: parseBytes(fillRate) }),
    ...(allowLayer === undefined ? {} : { allowLayer }),
    ...options,
  };
  const { name } = flags;
  if (name === undefined) throw command.error("error: --name or --config is needed");
  const isStoreSaid = command.optsWithGlobals<{ store?: string }>().store !== undefined;
  const home = store === undefined || isStoreSaid ? context.home : findHome(store);
  return { context: { ...context, home }, flags: { ...flags, name } };
}
