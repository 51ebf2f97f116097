import { readFile } from "node:fs/promises";
import { Command } from "commander";
import { XenoError } from "../../cowfs/errors.ts";
import { InformationClient } from "../information/client.ts";
import { formatMoney } from "../ledger/money.ts";
import type { Query } from "../search/query.ts";
import { parseAddress } from "./accounts.ts";
import { parseNumber } from "./arguments.ts";
import { readContext } from "./context.ts";
import { printJson, printResult, tell } from "./output.ts";

interface FindFlags {
  readonly information: string;
  readonly query?: string;
  readonly count?: number;
  readonly type?: string;
  readonly kernel?: string;
  readonly cpu?: number;
  readonly memory?: number;
  readonly net?: number;
  readonly hours?: number;
  readonly near?: string[];
  readonly explain?: boolean;
}

export function createFindCommand(): Command {
  return new Command("find")
    .description("find XenoServers that fit: by environment, resources, price, and place in the network")
    .requiredOption("--information <address>", "a node of the information service")
    .option("--query <file>", "a whole query as JSON (control/search/query.ts has its form); options add to it")
    .option("--count <n>", "how many", parseNumber)
    .option("--type <name>", "the environment, such as Linux")
    .option("--kernel <version>", "its kernel")
    .option("--cpu <ms>", "milliseconds of processor time in each second", parseNumber)
    .option("--memory <MiB>", "memory", parseNumber)
    .option("--net <Mbps>", "network rate", parseNumber)
    .option("--hours <n>", "how long: the price is of the whole job", parseNumber)
    .option("--near <server...>", "near all of these XenoServers, by their ids")
    .option("--explain", "say why each was chosen, and how many did not fit and why")
    .addHelpText(
      "after",
      "\nExample:\n  xeno find --information http://127.0.0.1:9100 --type Linux --cpu 150 --memory 256 --hours 24 --explain",
    )
    .action(async (flags: FindFlags, command: Command) => {
      const { json } = readContext(command);
      const client = new InformationClient(parseAddress(flags.information));
      const found = await client.findServers(await composeQuery(flags));
      if (json) {
        printJson(found);
        return;
      }
      printResult(
        false,
        found.matches.map(({ server, address, price, load, latencyMs, score, because }) => ({
          server,
          address,
          price: price === undefined ? undefined : formatMoney(price),
          latencyMs: latencyMs === undefined ? undefined : Math.round(latencyMs),
          load,
          score: Number(score.toFixed(2)),
          because: flags.explain ? because.join(", ") : undefined,
        })),
      );
      if (!flags.explain) return;
      tell(`${found.considered} were looked at${found.isPartial ? ", not all there are: ask for more precisely" : ""}`);
      for (const [reason, count] of Object.entries(found.refused)) tell(`${count} × ${reason}`);
    });
}

async function composeQuery({ query, count, type, kernel, cpu, memory, net, hours, near }: FindFlags): Promise<Query> {
  const given = query === undefined ? { count: 10 } : await readQuery(query);
  const resources = { CPUmsps: cpu, MemoryMiB: memory, NetMbps: net };
  const environment = { ...given.environment, ...dropAbsent({ type, kernel }) };
  const places = near?.map((server) => ({ server }));
  return {
    ...given,
    ...dropAbsent({ count, hours }),
    ...(Object.keys(environment).length === 0 ? {} : { environment }),
    resources: { ...given.resources, ...dropAbsent(resources) },
    ...(places === undefined ? {} : { near: { ...given.near, places } }),
  };
}

async function readQuery(file: string): Promise<Query> {
  try {
    return { count: 10, ...JSON.parse(await readFile(file, "utf8")) };
  } catch (cause) {
    throw new XenoError("file-unusable", `${file} is no query: ${(cause as Error).message}`, { cause });
  }
}

function dropAbsent<Fields extends object>(fields: Fields): Partial<Fields> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Partial<Fields>;
}
