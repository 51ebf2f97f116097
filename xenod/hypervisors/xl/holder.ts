/**
 * Who waits for the peer's word, with the guest stopped, once its memory was sent.
 *
 * `xl migrate -s '' DOMAIN COMMAND` runs COMMAND as the way to its peer, and speaks with it (migrate_domain in tools/xl/xl_migrate.c):
 * COMMAND greets; xl sends the domain; COMMAND says that it was received; xl gives its permission to go, and ends the domain. COMMAND
 * here is the holder: it greets, passes the stream to us, and never says that the domain was received. So xl waits until the holder
 * ends; then it takes that for a failure of its peer, and runs the guest on. Invariant (M1): whoever dies after all was sent, the
 * guest stays stopped here: only the holder's end runs it on, and the holder outlives Xenod. Before that it ends with Xenod: it finds
 * nobody to pass the rest to. And it ends with xl, whose stream ends.
 */
import { readFile, rm } from "node:fs/promises";
import { readStartTime, waitUntilGone } from "../../processes.ts";
import { domainFiles } from "./configuration.ts";

const settleMs = 300_000;

/** `$1` is where its process id goes, and that of the xl that it speaks with; the stream goes to descriptor 3. */
const holder = [
  'echo $$ $PPID >"$1.new" && mv "$1.new" "$1"',
  'printf "xl migration receiver ready, send binary domain data.\\n"',
  // xl waits for the end of descriptor 5.
  "exec cat 5>&1 >&3 3>&- 2>/dev/null",
].join("\n");

/** The COMMAND of `xl migrate`, which xl hands to a shell of its own. */
export function composeHolder(directory: string): string {
  return `exec sh -c ${quote(holder)} sh ${quote(domainFiles(directory).holder)}`;
}

/** Has xl run a domain on whose memory was sent. Settles once xl has let go of it; where xl was killed, it stands as it stood. */
export async function endHolder(directory: string): Promise<void> {
  const found = await findHolder(directory);
  await rm(domainFiles(directory).holder, { force: true });
  if (found === undefined) return;
  kill(found.pid);
  // xl runs the guest on before it ends.
  await waitUntilGone(found.mover, found.moverStart, settleMs);
}

/** Ends holder and xl, so that nothing runs the domain on: it is to end here. */
export async function dismissHolder(directory: string): Promise<void> {
  const found = await findHolder(directory);
  await rm(domainFiles(directory).holder, { force: true });
  if (found === undefined) return;
  kill(found.mover);
  kill(found.pid);
}

/** As long as its xl is there. */
async function findHolder(directory: string) {
  const noted = await readFile(domainFiles(directory).holder, "latin1").catch(() => "");
  const [pid = Number.NaN, mover = Number.NaN] = noted.split(" ").map(Number);
  if (!(pid > 1 && mover > 1)) return undefined;
  const status = await readFile(`/proc/${pid}/status`, "latin1").catch(() => "");
  // Where xl was killed, its child is somebody else's.
  if (Number(/^PPid:\t(\d+)$/m.exec(status)?.[1]) !== mover) return undefined;
  const moverStart = await readStartTime(mover);
  return moverStart === undefined ? undefined : { pid, mover, moverStart };
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {}
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
