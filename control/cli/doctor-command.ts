import { styleText } from "node:util";
import { Command } from "commander";
import { inspectMachine } from "../doctor/inspect-machine.ts";
import { readContext } from "./context.ts";
import { exitCodes, printResult } from "./output.ts";

export function createDoctorCommand(): Command {
  return new Command("doctor")
    .description("what this machine can do, what is missing, and how to get it")
    .action(async (_options, command: Command) => {
      const { json, home } = readContext(command);
      const checks = await inspectMachine({ stateDirectory: home.directory });
      if (json)
        printResult(
          true,
          checks.map((check) => ({ ...check })),
        );
      else
        for (const { name, ok, required, found, missing, howToGet } of checks) {
          const mark = ok
            ? styleText("green", "ok     ")
            : styleText(required ? "red" : "yellow", required ? "missing" : "without");
          process.stdout.write(`${mark}  ${name.padEnd(16)}  ${found}\n`);
          if (!ok) process.stdout.write(`${" ".repeat(27)}${missing}: ${howToGet}\n`);
        }
      if (checks.some(({ ok, required }) => required && !ok)) process.exitCode = exitCodes.error;
    });
}
