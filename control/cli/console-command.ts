import type { Duplex } from "node:stream";
import { Command } from "commander";
import type { DomainTarget } from "./arguments.ts";
import { readContext } from "./context.ts";
import { domainArgument } from "./domain-commands.ts";
import { tell } from "./output.ts";
import { findRunning } from "./registered-servers.ts";

/** Ctrl-], as in telnet and virsh. */
const leaveByte = 0x1d;

export function createConsoleCommand(): Command {
  return new Command("console")
    .description("talk to a domain's serial console; Ctrl-] leaves it")
    .addArgument(domainArgument())
    .addHelpText(
      "after",
      "\nOne at a time. `xeno logs` shows what was printed before.\n\nExample:\n  xeno console a/apache",
    )
    .action(async (target: DomainTarget, _options, command: Command) => {
      const { home, signal } = readContext(command);
      const { client, label } = await findRunning(home, target, signal);
      await attachConsole(await client.openConsole(target.domain, signal), label, signal);
    });
}

/** The terminal becomes the guest's. Input that ends, as a pipe's does, leaves what the guest prints on show. */
async function attachConsole(socket: Duplex, label: string, signal: AbortSignal): Promise<void> {
  tell(`connected to ${label}; Ctrl-] leaves`);
  process.stdin.setRawMode?.(true);
  try {
    await new Promise<void>((resolve) => {
      process.stdin.on("data", (bytes: Buffer) => {
        const leave = process.stdin.isTTY ? bytes.indexOf(leaveByte) : -1;
        if (leave < 0) return void socket.write(bytes);
        socket.write(bytes.subarray(0, leave));
        resolve();
      });
      socket.on("data", (bytes: Buffer) => process.stdout.write(bytes));
      socket.on("error", () => resolve());
      socket.once("close", () => resolve());
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
  } finally {
    process.stdin.setRawMode?.(false);
    socket.destroy();
  }
}
