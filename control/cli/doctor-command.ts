import { styleText } from "node:util";
import { Command } from "commander";
import { inspectMachine } from "../doctor/inspect-machine.ts";
import { askKvm } from "./ask-kvm.ts";
import { readContext } from "./context.ts";
import { exitCodes, printResult } from "./output.ts";

export function createDoctorCommand(): Command {
  return new Command("doctor")
    .description("what this machine can do, what is missing, and how to get it")
    .addHelpText(
      "after",
      `
Exit code 1 when something required is missing. With a kernel template in the store it boots that under KVM to see
whether it really works, once in the life of the host.

Example:
  xeno doctor`,
    )
    .action(async (_options, command: Command) => {
      const { json, home, signal } = readContext(command);
      const checks = await inspectMachine({ stateDirectory: home.directory, kvm: await askKvm(home, signal) });
      signal.throwIfAborted();
      const lines = checks.map(({ name, ok, required, found, missing, howToGet }) => {
        const mark = ok ? "ok" : required ? "missing" : "without";
        const color = ok ? "green" : required ? "red" : "yellow";
        const line = `${styleText(color, mark.padEnd(7))}  ${name.padEnd(15)}  ${found}\n`;
        return ok ? line : `${line}${" ".repeat(26)}${missing}: ${howToGet}\n`;
      });
      if (json)
        printResult(
          true,
          checks.map((check) => ({ ...check })),
        );
      else process.stdout.write(lines.join(""));
      if (checks.some(({ ok, required }) => required && !ok)) process.exitCode = exitCodes.error;
    });
}
