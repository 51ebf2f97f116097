/**
 * A guest's console, both ways: the pseudo-terminal that xenconsoled has made for it, in raw mode, and named in xenstore.
 *
 * Not `xl console`: it reads what is typed only where that comes from a terminal.
 */
import { spawn } from "node:child_process";
import { Duplex } from "node:stream";
import { systemEnvironment } from "../../system-path.ts";

/** `$1` is the domain's name for Xen. Both parts end with the terminal, and with us. */
const script = [
  'tty=$(xenstore-read "/local/domain/$(xl domid "$1")/console/tty") || exit 1',
  // Not by the leader of a session, whose controlling terminal it would become.
  '(exec 3<>"$tty"; cat <&3 & exec cat >&3)',
].join("\n");

/** Of the domain as it is now: a reset makes another. */
export function openConsole(xenName: string): Duplex {
  const client = spawn("sh", ["-c", script, "sh", xenName], {
    env: systemEnvironment,
    // A group of its own, which is ended as a whole.
    detached: true,
    stdio: ["pipe", "pipe", "ignore"],
  });
  const console = Duplex.from({ writable: client.stdin, readable: client.stdout });
  client.once("error", (error) => console.destroy(error));
  console.once("close", () => {
    try {
      if (client.pid !== undefined) process.kill(-client.pid, "SIGKILL");
    } catch {}
  });
  return console;
}
