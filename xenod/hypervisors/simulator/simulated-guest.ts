/**
 * What runs in a simulated domain: a shell on its console that knows `echo`, variables, `true`, `poweroff -f`, `reboot -f`, and
 * `echo c >/proc/sysrq-trigger`, which crashes it. Enough for a test to be the guest.
 */
import { Duplex } from "node:stream";
import { bootIfDue, changeMachine, type Machine, print, reset, setState } from "./simulated-machine.ts";

export function openSimulatedConsole(directory: string): Duplex {
  let typed = "";
  let running = Promise.resolve();
  const console = new Duplex({
    read() {},
    write(bytes: Buffer, _encoding, done) {
      const lines = (typed + bytes.toString("latin1")).split("\n");
      typed = lines.pop()!;
      for (const line of lines) running = running.then(() => runLine(directory, line, (text) => console.push(text)));
      running.then(
        () => done(),
        (error) => done(error),
      );
    },
  });
  return console;
}

/** A paused guest reads its line when it runs again. */
async function runLine(directory: string, line: string, show: (text: string) => void): Promise<void> {
  for (;;) {
    let ran = false;
    const machine = await changeMachine(directory, async (current) => {
      if (current.state !== "running") return false;
      ran = true;
      for (const command of line.split(";")) {
        const output = runCommand(current, command.trim());
        if (output !== undefined) await print(directory, output);
        if (output !== undefined) show(output);
        if (current.state !== "running") return;
      }
      await bootIfDue(directory, current);
    });
    if (ran || machine === undefined || machine.state !== "paused") return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

function runCommand(machine: Machine, command: string): string | undefined {
  const [, name, value] = /^(\w+)=(\S*)$/.exec(command) ?? [];
  if (name !== undefined) machine.memory[name] = value;
  else if (command === "poweroff -f") setState(machine, "stopped");
  else if (command === "echo c >/proc/sysrq-trigger") setState(machine, "crashed");
  else if (command === "reboot -f") reset(machine);
  else if (command.startsWith("echo ")) {
    const text = command.slice("echo ".length).replaceAll('"', "");
    return `${text.replace("$?", "0").replace(/\$(\w+)/g, (_, variable) => machine.memory[variable] ?? "")}\n`;
  }
  return undefined;
}
