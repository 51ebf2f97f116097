import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";
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
  console.resume();
  await once(console, "end");
  t.pass();
});

test("a console ends as one that was read to its end, though its program was gone before anybody read", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "xeno-console-"));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const pidFile = join(directory, "pid");
  const console = openTerminal('echo $$ >"$1.new"; mv "$1.new" "$1"; false', pidFile);
  t.teardown(() => void console.destroy());
  const deadline = Date.now() + 60_000;
  const gone = () => existsSync(pidFile) && !existsSync(`/proc/${readFileSync(pidFile, "utf8").trim()}`);
  while (!gone() && Date.now() < deadline) await setTimeout(10);
  t.true(gone());
  console.resume();
  await once(console, "end");
});
