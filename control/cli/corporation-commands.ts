import { setInterval } from "node:timers";
import { Command, Option } from "commander";
import { loadKey } from "../../xenostore/keys/key-ring.ts";
import { createCorporationApi } from "../corporation/api.ts";
import { CorporationClient } from "../corporation/client.ts";
import { Corporation } from "../corporation/corporation.ts";
import type { Role } from "../credentials/credential.ts";
import { formatMoney, parseMoney } from "../ledger/money.ts";
import { listAccounts, openAccount, parseAddress, saveAccount } from "./accounts.ts";
import { type HostPort, parseListen } from "./arguments.ts";
import { type Context, readContext, untilAborted } from "./context.ts";
import { printResult, tellTrouble } from "./output.ts";

const sweepMs = 60_000;
const day = 24 * 3600 * 1000;

interface RunFlags {
  readonly listen: HostPort;
  readonly key: string;
  readonly currency: string;
  readonly showNames?: boolean;
}

export function createCorporationCommands(): Command {
  const corporation = new Command("corporation").description(
    "XenoCorps: whom clients and XenoServers trust with money",
  );

  corporation
    .command("run <address>")
    .description("run a XenoCorp, which is known by this address")
    .requiredOption("--listen <host:port>", "where to listen: in plain HTTP, so put a TLS proxy before it", parseListen)
    .requiredOption("--key <name>", "the key that signs credentials and orders: see `xeno key new`")
    .option("--currency <code>", "three letters", "EUR")
    .option("--show-names", "credentials say who the holder is, not only that it is known")
    .addHelpText(
      "after",
      `
Runs until Ctrl-C; its books lie in $XENO_HOME/corporations.

Example:
  xeno corporation run http://127.0.0.1:9000 --listen 127.0.0.1:9000 --key corp`,
    )
    .action(async (text: string, flags: RunFlags, command: Command) => {
      const context = readContext(command);
      const address = parseAddress(text);
      const opened = await openBooks(context, address, flags);
      const api = createCorporationApi(opened, (error) => tellTrouble("a request's defect", error));
      const sweep = setInterval(() => {
        opened.releaseExpired().catch((error) => tellTrouble("releasing expired orders", error));
      }, sweepMs);
      try {
        await api.listen(flags.listen);
        printResult(context.json, { corporation: address, listening: `${flags.listen.host}:${flags.listen.port}` });
        await untilAborted(context.signal);
      } finally {
        clearInterval(sweep);
        await api.close();
        await opened.end();
      }
    });

  corporation
    .command("pay-in <address> <holder> <amount>")
    .description("record a payment that this XenoCorp received; it may be running")
    .requiredOption("--id <id>", "of the payment: recorded once, however often it is told")
    .requiredOption("--key <name>", "the XenoCorp's key")
    .addHelpText(
      "after",
      "\nExample:\n  xeno corporation pay-in http://127.0.0.1:9000 client-… 20.00 --id invoice-7 --key corp",
    )
    .action(
      async (text: string, holder: string, amount: string, flags: { id: string; key: string }, command: Command) => {
        const context = readContext(command);
        const books = await openBooks(context, parseAddress(text), { ...flags, currency: "EUR" });
        try {
          const { posted } = await books.payIn(holder, parseMoney(amount), flags.id);
          printResult(context.json, { holder, balance: formatMoney(posted) });
        } finally {
          await books.end();
        }
      },
    );

  corporation
    .command("register <address>")
    .description("become a client, or register a XenoServer, with your key")
    .addOption(new Option("--role <role>", "what you are").choices(["client", "server"]).default("client"))
    .requiredOption("--name <name>", "who you are")
    .requiredOption("--key <name>", "the key that proves your requests")
    .option("--contact <text>", "how to reach you")
    .addHelpText("after", "\nExample:\n  xeno corporation register http://127.0.0.1:9000 --name Ada --key demo")
    .action(
      async (text: string, flags: { role: Role; name: string; key: string; contact?: string }, command: Command) => {
        const { json, home } = readContext(command);
        const address = parseAddress(text);
        const { role, name, key, contact } = flags;
        const client = new CorporationClient(address, await loadKey(home.keys, key));
        const { holder, credential } = await client.register(role, name, { contact });
        await saveAccount(home, { format: 1, corporation: address, role, holder, credential, key });
        printResult(json, { corporation: address, role, holder });
      },
    );

  corporation
    .command("ls")
    .description("list your accounts, with what they have")
    .addHelpText("after", "\nExample:\n  xeno corporation ls")
    .action(async (_flags, command: Command) => {
      const { json, home } = readContext(command);
      const rows = (await listAccounts(home)).map(async ({ corporation: address, role, holder }) => {
        const { posted, held, available } = await (await openAccount(home, address, role)).account();
        return {
          corporation: address,
          role,
          holder,
          balance: formatMoney(posted),
          held: formatMoney(held),
          available: formatMoney(available),
        };
      });
      printResult(json, await Promise.all(rows));
    });

  return corporation;
}

async function openBooks(
  { home }: Context,
  address: string,
  { key, currency, showNames }: { key: string; currency: string; showNames?: boolean },
): Promise<Corporation> {
  return await Corporation.open({
    name: address,
    key: await loadKey(home.keys, key),
    databaseFile: home.at("corporations", `${encodeURIComponent(address)}.sqlite`),
    currency,
    showsNames: showNames === true,
    settlementMs: day,
  });
}
