import { randomUUID } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { Command } from "commander";
import { XenoError } from "../../cowfs/errors.ts";
import { formatMoney, parseMoney } from "../ledger/money.ts";
import type { AskedLease, ReceivedOffer, SessionsClient } from "../sessions/client.ts";
import type { SessionView, TaskView } from "../sessions/describe.ts";
import type { Requirements } from "../sessions/requirements/requirements.ts";
import type { DomainTask } from "../sessions/tasks/domain/domain-task.ts";
import { maxTarBytes, type ProgramTask, tooLarge } from "../sessions/tasks/program/program-task.ts";
import { listAccounts, parseAddress } from "./accounts.ts";
import { parseNumber } from "./arguments.ts";
import { readContext } from "./context.ts";
import type { Home } from "./home.ts";
import { printJson, printResult, type Row, tellTrouble } from "./output.ts";
import { createSessionServeCommand } from "./session-serve-command.ts";
import { findSession, forgetSession, listSessions, openSessions, orderFor, saveSession } from "./sessions.ts";

const hourMs = 3_600_000;

interface DeployFlags {
  readonly id?: string;
  readonly memory?: number;
  readonly programs?: boolean;
}

interface RunFlags {
  readonly id?: string;
  readonly entry?: string;
  readonly seconds?: number;
  readonly output?: number;
}

interface LeaseFlags {
  readonly requirements?: string;
  readonly type?: string;
  readonly kernel?: string;
  readonly cpu?: number;
  readonly memory?: number;
  readonly net?: number;
  readonly disk?: number;
  readonly hours: string;
  readonly maxPrice?: string;
}

export function createSessionCommands(): Command {
  const session = new Command("session").description(
    "sessions: what you have leased of XenoServers, and what runs there",
  );
  session.addCommand(createSessionServeCommand());

  session
    .command("status <address>")
    .description("ask a XenoServer what it has, and what it costs")
    .option("--corporation <address>", "as whose client you ask (default: your only XenoCorp)")
    .addHelpText("after", "\nExample:\n  xeno session status http://127.0.0.1:9200")
    .action(async (address: string, flags: { corporation?: string }, command: Command) => {
      const { json, home } = readContext(command);
      const sessions = await openSessions(
        home,
        parseAddress(address),
        await chooseCorporation(home, flags.corporation),
      );
      const status = await sessions.status();
      if (json) return printJson(status);
      const { name, server, environments, corporations, currency, prices, load, room, sessions: count } = status;
      printResult(false, {
        ...{ name, server, load: Number(load.toFixed(2)), memoryMiB: room.MemoryMiB, cpuMsPerSecond: room.CPUmsps },
        environments: environments.map(({ type, kernels }) => `${type} (${kernels.join(", ")})`).join("; "),
        corporations: corporations.map((each) => each.address).join(", "),
        prices: `${JSON.stringify(prices)} millionths of a ${currency} an hour`,
        sessions: count,
      });
    });

  addLeaseOptions(session.command("new <address>"))
    .description("lease resources of a XenoServer, paid by an order that is made for it")
    .requiredOption("--amount <amount>", "set aside at the XenoCorp; what is not used returns")
    .option("--corporation <address>", "whose client you are (default: your only XenoCorp)")
    .addHelpText(
      "after",
      "\nExamples:\n  xeno session new http://127.0.0.1:9200 --memory 512 --hours 2 --amount 0.50\n" +
        "  xeno session new http://127.0.0.1:9200 --requirements wanted.xml --amount 0.50",
    )
    .action(async (text: string, flags: LeaseFlags & { amount: string; corporation?: string }, command: Command) => {
      const { json, home } = readContext(command);
      const address = parseAddress(text);
      const corporation = await chooseCorporation(home, flags.corporation);
      const sessions = await openSessions(home, address, corporation);
      const { key: serverKey } = await sessions.status();
      const offer = await askOffer(sessions, serverKey, flags, await composeLease(flags));
      const { session: id, ends } = offer.lease;
      const order = {
        corporation,
        id: randomUUID(),
        amount: parseMoney(flags.amount),
        validMs: ends - Date.now() + hourMs,
      };
      const texts = await orderFor(home, sessions, order);
      // Known before it begins: what is paid for is never lost sight of.
      await saveSession(home, { format: 1, id, address, serverKey, corporation });
      const begun = await sessions.create(await sessions.accept(offer), texts).catch(async (error) => {
        if (!(error instanceof XenoError) || error.code !== "xenoserver-unreachable") await forgetSession(home, id);
        throw error;
      });
      printSession(json, begun);
    });

  session
    .command("ls")
    .description("list your sessions")
    .addHelpText("after", "\nExample:\n  xeno session ls")
    .action(async (_flags, command: Command) => {
      const { json, home } = readContext(command);
      const rows = (await listSessions(home)).map(async ({ id, address, corporation }): Promise<Row> => {
        try {
          const view = await (await openSessions(home, address, corporation)).show(id);
          return { session: id, xenoserver: address, ...summarize(view) };
        } catch (error) {
          if (!(error instanceof XenoError)) throw error;
          return { session: id, xenoserver: address, state: `? ${error.code}` };
        }
      });
      printResult(json, await Promise.all(rows));
    });

  session
    .command("show <session>")
    .description("tell a session's lease, money and tasks; the beginning of its id will do")
    .addHelpText("after", "\nExample:\n  xeno session show 3f1c")
    .action(async (beginning: string, _flags, command: Command) => {
      const { json, home } = readContext(command);
      const { id, sessions } = await open(home, beginning);
      printSession(json, await sessions.show(id));
    });

  session
    .command("deploy <session> <overlay>")
    .description("deploy an overlay as a domain of the session")
    .option("--id <id>", "of the task: asking again with the same one is the same task (default: a new one)")
    .option("--memory <MiB>", "default: all that the session has left", parseNumber)
    .option("--programs", "have programs run inside of it later: xeno session run")
    .addHelpText("after", "\nExample:\n  xeno session deploy 3f1c xenostore://demo/apache --id web")
    .action(async (beginning: string, overlay: string, flags: DeployFlags, command: Command) => {
      const { json, home } = readContext(command);
      const { id, sessions } = await open(home, beginning);
      const { memory: memoryMiB, programs } = flags;
      const asked: DomainTask = { overlay, ...(memoryMiB && { memoryMiB }), ...(programs && { programs }) };
      printResult(json, { session: id, ...(await sessions.deploy(id, { ...nameTask(flags), kind: "domain", asked })) });
    });

  session
    .command("run <session> <task> <tar>")
    .description("run a program, a tar of at most 1 MiB, inside of a task's domain that was deployed with --programs")
    .option("--id <id>", "of the new task: asking again with the same one is the same task (default: a new one)")
    .option("--entry <path>", "what is run of the tar's files (default: run)")
    .option("--seconds <n>", "of the guest's time, at most (default: 3600)", parseNumber)
    .option("--output <bytes>", "at most; who prints more is killed (default: 1048576)", parseNumber)
    .addHelpText(
      "after",
      "\nExample:\n  xeno session run 3f1c web job.tar --id job --seconds 60\n" +
        "\nThen `xeno session show` tells how it ended, `xeno session logs` what it printed, and `xeno session end` forgets it.\n",
    )
    .action(async (beginning: string, inside: string, file: string, flags: RunFlags, command: Command) => {
      const { json, home } = readContext(command);
      const { id, sessions } = await open(home, beginning);
      const { entry, seconds, output } = flags;
      const limits = {
        ...(seconds !== undefined && { seconds }),
        ...(output !== undefined && { outputBytes: output }),
      };
      const asked: ProgramTask = { inside, tar: await readProgram(file), ...(entry && { entry }), ...limits };
      printResult(json, {
        session: id,
        ...(await sessions.deploy(id, { ...nameTask(flags), kind: "program", asked })),
      });
    });

  session
    .command("logs <session> <task>")
    .description("print the end of what a task's guest printed, or a program")
    .addHelpText("after", "\nExample:\n  xeno session logs 3f1c web")
    .action(async (beginning: string, task: string, _flags, command: Command) => {
      const { home } = readContext(command);
      const { id, sessions } = await open(home, beginning);
      process.stdout.write(await sessions.readLog(id, task));
    });

  addLeaseOptions(session.command("renew <session>"))
    .alias("modify")
    .description("agree on a further lease: a longer term, other resources; what is not said stays as it is")
    .addHelpText(
      "after",
      "\nExamples:\n  xeno session renew 3f1c --hours 24\n  xeno session modify 3f1c --memory 1024 --hours 2",
    )
    .action(async (beginning: string, flags: LeaseFlags, command: Command) => {
      const { json, home } = readContext(command);
      const { id, sessions, serverKey } = await open(home, beginning);
      const { lease } = await sessions.show(id);
      const asked = await composeLease(flags, lease.requirements);
      const offer = await askOffer(sessions, serverKey, flags, { ...asked, session: id });
      printSession(json, await sessions.amend(id, await sessions.accept(offer)));
    });

  session
    .command("top-up <session> <amount>")
    .description("pay on with another order; a session that ran dry is resumed")
    .addHelpText("after", "\nExample:\n  xeno session top-up 3f1c 0.50")
    .action(async (beginning: string, amount: string, _flags, command: Command) => {
      const { json, home } = readContext(command);
      const { id, sessions, corporation } = await open(home, beginning);
      const { lease } = await sessions.show(id);
      const validMs = Math.max(hourMs, lease.ends - Date.now() + hourMs);
      const order = { corporation, id: randomUUID(), amount: parseMoney(amount), validMs };
      printSession(json, await sessions.topUp(id, await orderFor(home, sessions, order)));
    });

  session
    .command("end <session> [task]")
    .description(
      "end a session, or one task of it: domains are removed, programs are killed, and what is left of its orders returns",
    )
    .addHelpText("after", "\nExamples:\n  xeno session end 3f1c\n  xeno session end 3f1c web")
    .action(async (beginning: string, task: string | undefined, _flags, command: Command) => {
      const { json, home } = readContext(command);
      const { id, sessions } = await open(home, beginning);
      printSession(json, await (task === undefined ? sessions.end(id) : sessions.endTask(id, task)));
    });

  return session;
}

function addLeaseOptions(command: Command): Command {
  return command
    .option("--requirements <file>", "as XML, in the papers' form, or as JSON; options below add to it")
    .option("--type <name>", "the environment (default: Linux)")
    .option("--kernel <version>", "its kernel (default: the XenoServer's first)")
    .option("--cpu <ms>", "milliseconds of processor time in each second", parseNumber)
    .option("--memory <MiB>", "memory (default: 512)", parseNumber)
    .option("--net <Mbps>", "network rate", parseNumber)
    .option("--disk <MiB>", "what its guests may write", parseNumber)
    .option("--hours <n>", "the term, from now", "1")
    .option("--max-price <amount>", "an hour, at most: an offer that is dearer is not taken");
}

/** Throws `offer-dear`. */
async function askOffer(
  sessions: SessionsClient,
  serverKey: string,
  { maxPrice }: LeaseFlags,
  asked: AskedLease,
): Promise<ReceivedOffer> {
  const offer = await sessions.offer(asked, serverKey);
  const { pricePerHour } = offer.lease;
  if (maxPrice === undefined || pricePerHour <= parseMoney(maxPrice)) return offer;
  throw new XenoError("offer-dear", `it costs ${formatMoney(pricePerHour)} an hour there`, {
    hint: "xeno find shows what others ask; or offer more: --max-price",
  });
}

async function composeLease(flags: LeaseFlags, before?: Requirements): Promise<AskedLease> {
  const { requirements: file, type, kernel, cpu, memory, net, disk, hours } = flags;
  const termMs = Math.round(Number(hours) * hourMs);
  if (!(termMs > 0)) throw new XenoError("term-invalid", `"${hours}" is no number of hours`, { hint: "as 2, or 0.5" });
  const text = file === undefined ? undefined : await readFile(file, "utf8");
  if (text?.trimStart().startsWith("<")) return { requirementsXml: text, termMs };
  const base: Requirements =
    text === undefined ? (before ?? { Basic: { EnvName: "session", EnvType: "Linux" } }) : parseJson(text, file!);
  const said = { CPUmtps: cpu, MemoryMiB: memory, NetMbps: net, DiskMiB: disk };
  const QoS = { ...base.QoS, ...Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined)) };
  const Basic = { ...base.Basic, ...(type && { EnvType: type }), ...(kernel && { EnvKernel: kernel }) };
  return { requirements: { ...base, Basic, QoS }, termMs };
}

function nameTask({ id = randomUUID().slice(0, 8) }: { readonly id?: string }): { id: string } {
  return { id };
}

/** In base64. What is far too large is not read: the XenoServer says the limit, which is checked here too. */
async function readProgram(file: string): Promise<string> {
  const { size } = await stat(file);
  if (size > maxTarBytes) throw tooLarge(size);
  return await readFile(file, "base64");
}

function parseJson(text: string, file: string): Requirements {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new XenoError("file-unusable", `${file} is no JSON: ${(cause as Error).message}`, { cause });
  }
}

async function open(home: Home, beginning: string) {
  const known = await findSession(home, beginning);
  return { ...known, sessions: await openSessions(home, known.address, known.corporation) };
}

/** Throws `corporation-missing` where there is none, or more than one. */
async function chooseCorporation(home: Home, named: string | undefined): Promise<string> {
  if (named !== undefined) return parseAddress(named);
  const accounts = (await listAccounts(home)).filter(({ role }) => role === "client");
  if (accounts.length === 1) return accounts[0]!.corporation;
  throw new XenoError("corporation-missing", `you are a client of ${accounts.length} XenoCorps`, {
    hint:
      accounts.length === 0 ? "register with one: xeno corporation register" : "say of which: --corporation ADDRESS",
  });
}

function summarize({ state, reason, graceUntil, lease, paid, left, tasks }: SessionView): Row {
  return {
    ...{ state, reason },
    kept: graceUntil === undefined ? undefined : `until ${new Date(graceUntil).toISOString()}`,
    ends: new Date(lease.ends).toISOString(),
    memoryMiB: lease.resources.MemoryMiB,
    // Where none was asked for, what is idle: there is no figure to show.
    netMbps: lease.resources.NetMbps || undefined,
    perHour: formatMoney(lease.pricePerHour),
    paid: formatMoney(paid),
    left: formatMoney(left),
    tasks:
      tasks
        .map(({ id, state: its, code, address, nextSize }) =>
          [id, its, code, address, tellNext(nextSize)].filter((word) => word !== undefined).join(" "),
        )
        .join("; ") || undefined,
  };
}

function tellNext(next: TaskView["nextSize"]): string | undefined {
  return next && `(${next.memoryMiB} MiB when it next boots)`;
}

function printSession(json: boolean, view: SessionView): void {
  if (json) printJson(view);
  else printResult(false, { session: view.id, ...summarize(view) });
  for (const { id, error } of view.tasks)
    if (error !== undefined) tellTrouble(`task ${id}`, new XenoError(error.code, error.message));
}
