/** `xeno server drain` and `xeno rebalance`: what control/balance plans, shown and performed. */
import { Command } from "commander";
import type { XenodClient } from "../../xenod/api/client.ts";
import { performMoves } from "../balance/perform-moves.ts";
import { type Move, type Plan, planDrain, planRebalance } from "../balance/plan-moves.ts";
import { surveyServer } from "../balance/survey.ts";
import { parseServers } from "./arguments.ts";
import { type Context, readContext } from "./context.ts";
import { tellSteps } from "./migrate-command.ts";
import { exitCodes, printResult, type Row, tell, tellTrouble } from "./output.ts";
import { connectServer, describePeer, findServers, listServers, type RegisteredServer } from "./registered-servers.ts";

export function createDrainCommand(): Command {
  return new Command("drain")
    .description("empty a XenoServer for maintenance: it takes no domains any more, and those that run move to others")
    .argument("<name>")
    .option("--to <servers>", "where they may go, separated by commas (default: all others that answer)", parseServers)
    .option("--drop-checkpoints", "give checkpoints up: they do not go with their domains")
    .option("--undo", "take domains again; what has moved stays where it is")
    .addHelpText(
      "after",
      `
One domain after the other moves to where most memory is left. What does not move is told, and the exit code is 3; run again, the rest is tried again.
Domains that do not run stay, with their journals.

Examples:
  xeno server drain a
  xeno server drain a --to b,c
  xeno server drain a --undo`,
    )
    .action(
      async (name: string, flags: { to?: string[]; dropCheckpoints?: boolean; undo?: boolean }, command: Command) => {
        const context = readContext(command);
        const { home, signal, json } = context;
        const [server] = await findServers(home, [name]);
        const client = await connectServer(home, server!);
        await client.setDraining(flags.undo !== true, signal);
        if (flags.undo) return printResult(json, { "takes domains": name });
        const known = flags.to ? await findServers(home, flags.to) : await listServers(home);
        const others = await surveyAll(
          context,
          known.filter((other) => other.name !== name),
        );
        const plan = planDrain(await surveyServer(name, client, signal), others);
        await perform(context, plan, flags.dropCheckpoints);
      },
    );
}

export function createRebalanceCommand(): Command {
  return new Command("rebalance")
    .description("propose moves after which XenoServers use their memory alike")
    .option("--on <servers>", "which, separated by commas (default: all that answer)", parseServers)
    .option("--perform", "perform the moves")
    .addHelpText("after", "\nExamples:\n  xeno rebalance\n  xeno rebalance --on a,b,c --perform")
    .action(async (flags: { on?: string[]; perform?: boolean }, command: Command) => {
      const context = readContext(command);
      const known = flags.on ? await findServers(context.home, flags.on) : await listServers(context.home);
      const plan = planRebalance(await surveyAll(context, known));
      if (plan.moves.length === 0 && !context.json) tell("Nothing would be gained by moving anything.");
      if (flags.perform) return await perform(context, plan, false);
      printResult(context.json, plan.moves.map(describe));
      if (plan.moves.length > 0 && !context.json) tell("xeno rebalance --perform performs them.");
    });
}

/** Those that answer; a XenoServer that is down has no room. */
async function surveyAll({ home, signal }: Context, servers: readonly RegisteredServer[]) {
  const surveyed = await Promise.all(
    servers.map(async (server) => {
      try {
        return [await surveyServer(server.name, await connectServer(home, server, 0), signal)];
      } catch (error) {
        signal.throwIfAborted();
        tellTrouble(server.name, error);
        return [];
      }
    }),
  );
  return surveyed.flat();
}

async function perform(context: Context, { moves, stuck }: Plan, dropCheckpoints: boolean | undefined): Promise<void> {
  const { home, signal, json } = context;
  const find = async (name: string) => (await findServers(home, [name]))[0]!;
  const clients = new Map<string, Promise<XenodClient>>();
  const connect = (name: string) => {
    const client = clients.get(name) ?? find(name).then((server) => connectServer(home, server));
    clients.set(name, client);
    return client;
  };
  const steps = new Map<Move, ReturnType<typeof tellSteps>>();
  const performed = await performMoves(moves, {
    connect,
    describePeer: async (name) => describePeer(home, await find(name), signal),
    dropCheckpoints,
    onProgress(move, task) {
      const tellMove = steps.get(move) ?? tellSteps(`${move.from}/${move.domain}`);
      steps.set(move, tellMove);
      tellMove(task);
    },
    signal,
  });
  const rows: Row[] = [
    ...performed.map(({ error, ...move }) => ({
      ...describe(move),
      reason: error && `${error.message} [${error.code}]`,
    })),
    ...stuck.map(({ domain, reason }) => ({ domain, to: undefined, memoryMiB: undefined, reason })),
  ];
  printResult(json, rows);
  if (rows.some(({ reason }) => reason !== undefined)) process.exitCode = exitCodes.partial;
}

function describe({ domain, from, to, memoryMiB }: Move): Row {
  return { domain: `${from}/${domain}`, to, memoryMiB };
}
