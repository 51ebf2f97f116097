import { randomUUID } from "node:crypto";
import { Command, Option } from "commander";
import { type PolicyName, policies } from "../corporation/policies/policies.ts";
import { formatMoney, parseMoney } from "../ledger/money.ts";
import { openAccount, parseAddress } from "./accounts.ts";
import { parseNumber } from "./arguments.ts";
import { readContext } from "./context.ts";
import { printJson, printResult } from "./output.ts";

const hour = 3600 * 1000;

interface NewFlags {
  readonly id?: string;
  readonly hours: number;
  readonly policy: PolicyName;
}

export function createOrderCommands(): Command {
  const order = new Command("order").description(
    "purchase orders: money of a XenoCorp that is set aside for a session",
  );

  order
    .command("new <address> <amount>")
    .description("have an order issued to your key, up to an amount; its texts are the result")
    .option("--id <id>", "asking again with the same one is the same order (default: a new one)")
    .option("--hours <n>", "how long it is valid", parseNumber, 24)
    .addOption(
      new Option("--policy <name>", "how the XenoCorp stands for it")
        .choices(Object.keys(policies))
        .default("exclusive"),
    )
    .addHelpText("after", "\nExample:\n  xeno order new http://127.0.0.1:9000 5.00 --id first")
    .action(async (address: string, amount: string, flags: NewFlags, command: Command) => {
      const { json, home } = readContext(command);
      const client = await openAccount(home, parseAddress(address), "client");
      const { id = randomUUID(), hours, policy } = flags;
      const texts = await client.createOrder({ id, amount: parseMoney(amount), validMs: hours * hour, policy });
      if (json) printJson({ id, texts });
      else printResult(false, { id, order: texts.join(" ") });
    });

  order
    .command("ls <address>")
    .description("list your orders")
    .addHelpText("after", "\nExample:\n  xeno order ls http://127.0.0.1:9000")
    .action(async (address: string, _flags, command: Command) => {
      const { json, home } = readContext(command);
      const orders = await (await openAccount(home, parseAddress(address), "client")).listOrders();
      printResult(
        json,
        orders.map(({ id, amount, policy, expires }) => {
          return { order: id, amount: formatMoney(amount), policy, expires: new Date(expires).toISOString() };
        }),
      );
    });

  order
    .command("audit <address> <order>")
    .description("show what an order paid, and what for")
    .addHelpText("after", "\nExample:\n  xeno order audit http://127.0.0.1:9000 3f1c….first")
    .action(async (address: string, id: string, _flags, command: Command) => {
      const { json, home } = readContext(command);
      const { transfers } = await (await openAccount(home, parseAddress(address), "client")).audit(id);
      printResult(
        json,
        transfers.map(({ at, kind, credit, amount, note }) => {
          return {
            at: new Date(at).toISOString(),
            kind,
            to: credit,
            amount: formatMoney(amount),
            note: JSON.stringify(note),
          };
        }),
      );
    });

  return order;
}
