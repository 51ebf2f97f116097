/**
 * Who waits for the peer's word, with the guest stopped, once its memory was sent.
 *
 * `xl migrate -s '' DOMAIN COMMAND` runs COMMAND as the way to its peer, and speaks with it (migrate_domain in tools/xl/xl_migrate.c):
 * COMMAND greets; xl sends the domain; COMMAND says that it was received; xl gives its permission to go, and ends the domain. COMMAND
 * here is the holder: it passes the stream to us, greets, and never says that the domain was received. So xl waits until the holder
 * ends; then it takes that for a failure of its peer, and runs the guest on. Invariant (M1): whoever dies after all was sent, the
 * guest stays stopped here: only the holder's end runs it on, and the holder outlives Xenod.
 */
import { readFile, rm } from "node:fs/promises";
import { basename } from "node:path";
import { readStartTime, waitUntilGone } from "../../processes.ts";
import { domainFiles } from "./configuration.ts";

const settleMs = 300_000;

/** `$1` is where its process id goes; the stream goes to descriptor 3. */
const holder = [
  'echo $$ >"$1.new" && mv "$1.new" "$1"',
  // A shell gives what it runs behind itself an empty stdin.
  "exec 4<&0",
  "cat <&4 >&3 4<&- &",
  "exec 4<&- </dev/null 3>&-",
  'printf "xl migration receiver ready, send binary domain data.\\n"',
  "exec sleep infinity",
].join("\n");
/** What it is in the end, as /proc/PID/cmdline has it. */
const holderCommand = "sleep\0infinity\0";

/** The COMMAND of `xl migrate`, which xl hands to a shell of its own. */
export function composeHolder(directory: string): string {
  return `exec sh -c ${quote(holder)} sh ${quote(domainFiles(directory).holder)}`;
}

/** Runs a domain on whose memory was sent. Settles once xl has let go of it. False where nobody holds it. */
export async function endHolder(directory: string): Promise<boolean> {
  const found = await findHolder(directory);
  await rm(domainFiles(directory).holder, { force: true });
  if (found === undefined) return false;
  const { pid, mover, moverStart } = found;
  kill(pid);
  // xl runs the guest on before it ends.
  if (moverStart !== undefined) await waitUntilGone(mover, moverStart, settleMs);
  return true;
}

/** Ends holder and xl, so that nothing runs the domain on: it is to end here. */
export async function dismissHolder(directory: string): Promise<void> {
  const found = await findHolder(directory);
  await rm(domainFiles(directory).holder, { force: true });
  if (found === undefined) return;
  if (found.moverStart !== undefined) kill(found.mover);
  kill(found.pid);
}

async function findHolder(directory: string) {
  const pid = Number(await readFile(domainFiles(directory).holder, "latin1").catch(() => Number.NaN));
  if (!Number.isInteger(pid) || pid <= 1) return undefined;
  if ((await readFile(`/proc/${pid}/cmdline`, "latin1").catch(() => "")) !== holderCommand) return undefined;
  const status = await readFile(`/proc/${pid}/status`, "latin1").catch(() => "");
  const mover = Number(/^PPid:\t(\d+)$/m.exec(status)?.[1]);
  // Where xl was killed, its child is somebody else's. Debian's xl is a script that runs the one of this Xen.
  const [program = "", verb] = (await readFile(`/proc/${mover}/cmdline`, "latin1").catch(() => "")).split("\0");
  const isMover = basename(program) === "xl" && verb === "migrate";
  return { pid, mover, moverStart: isMover ? await readStartTime(mover) : undefined };
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {}
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
