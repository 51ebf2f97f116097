/**
 * A guest's console, both ways: the pseudo-terminal that xenconsoled has made for it, in raw mode, and named in xenstore.
 *
 * Not `xl console`: it reads what is typed only where that comes from a terminal.
 */
import { spawn } from "node:child_process";
import { Duplex } from "node:stream";
import { systemEnvironment } from "../../system-path.ts";

/** Of the domain as it is now: a reset makes another. */
export function openConsole(xenName: string): Duplex {
  return openTerminal('xenstore-read "/local/domain/$(xl domid "$1")/console/tty"', xenName);
}

/**
 * What nobody read is taken away first: the terminal keeps some KiB of it, and xenconsoled fills it again from up to a MiB of its own.
 * What comes within 0.3 s of that may go too; all of it is in the console's record. A guest that never stops is cut in after so many.
 */
const drain = [
  "left=300",
  'while [ $left -gt 0 ] && [ "$(timeout 0.3 dd bs=64k count=1 <&3 2>/dev/null | wc -c)" -gt 0 ]; do left=$((left - 1)); done',
].join("\n");

/** `findTerminal`: a shell command that prints the terminal's path; it is given `argument` as `$1`. */
export function openTerminal(findTerminal: string, argument: string): Duplex {
  const script = [
    `tty=$(${findTerminal}) || exit 1`,
    // Not by the leader of a session, whose controlling terminal it would become. Who reads it ends with the terminal, and then all of
    // this does. A shell gives what it runs behind itself an empty stdin.
    `(exec 3<>"$tty" 4<&0; ${drain}; cat <&4 >&3 4<&- & exec cat <&3 4<&-)`,
  ].join("\n");
  const client = spawn("sh", ["-c", script, "sh", argument], {
    env: systemEnvironment,
    // A group of its own, which is ended as a whole.
    detached: true,
    stdio: ["pipe", "pipe", "ignore"],
  });
  // Not Duplex.from: Node closes a child's stdin when it sees the child's end, which may be before the last output is read, and that would
  // take the rest of it away. What is typed then has nowhere to go, and is no error of the console's.
  client.stdin.on("error", () => {});
  const console = new Duplex({
    allowHalfOpen: false,
    read: () => void client.stdout.resume(),
    write: (typed, _encoding, done) => void client.stdin.write(typed, () => done()),
  });
  client.stdout.on("data", (printed) => console.push(printed) || client.stdout.pause());
  client.stdout.once("end", () => console.push(null));
  client.once("error", (error) => console.destroy(error));
  console.once("close", () => {
    try {
      if (client.pid !== undefined) process.kill(-client.pid, "SIGKILL");
    } catch {}
  });
  return console;
}
