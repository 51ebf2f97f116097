import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import test from "ava";
import { openTerminal } from "../../../../xenod/hypervisors/xl/console.ts";

/** As xenconsoled: keeps the terminal full of 100 KiB that nobody read, then prints what was typed, in capitals. */
const consoleDaemon = `
import os, pty, tty
master, slave = pty.openpty()
tty.setraw(slave)
print(os.ttyname(slave), flush=True)
backlog = b"printed before\\n" * 7000
while backlog:
    backlog = backlog[os.write(master, backlog[:4000]):]
while True:
    os.write(master, os.read(master, 100).upper())
`;

test("a console begins with what its guest prints from then on, however much nobody read before, and takes what is typed", async (t) => {
  const daemon = spawn("python3", ["-c", consoleDaemon], { stdio: ["ignore", "pipe", "inherit"] });
  t.teardown(() => void daemon.kill("SIGKILL"));
  const [terminal] = (await once(createInterface({ input: daemon.stdout }), "line")) as [string];
  const console = openTerminal('echo "$1"', terminal);
  t.teardown(() => void console.destroy());
  console.setEncoding("utf8").write("typed\n");
  let said = "";
  for await (const text of console) {
    said += text;
    if (said.endsWith("\n")) break;
  }
  t.is(said, "TYPED\n");
});

test("a console ends with its terminal: a reset guest has another", async (t) => {
  const daemon = spawn("python3", ["-c", consoleDaemon], { stdio: ["ignore", "pipe", "inherit"] });
  t.teardown(() => void daemon.kill("SIGKILL"));
  const [terminal] = (await once(createInterface({ input: daemon.stdout }), "line")) as [string];
  const console = openTerminal('echo "$1"', terminal);
  t.teardown(() => void console.destroy());
  console.on("error", () => {});
  console.write("typed\n");
  await once(console, "data");
  console.resume();
  daemon.kill("SIGKILL");
  await once(console, "end");
  t.pass();
});

test("a terminal that is not to be found ends the console", async (t) => {
  const console = openTerminal("false", "");
  t.teardown(() => void console.destroy());
  console.on("error", () => {});
  console.resume();
  await once(console, "end");
  t.pass();
});
