import { chmod, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Scratch extends AsyncDisposable {
  readonly directory: string;
}

/**
 * A directory to make a Debian in, removed at the end. Those of processes that were killed are removed first: the
 * process that a directory is named after is gone. What was mounted there was mounted in a namespace that went with it.
 *
 * `purpose` is a word for the name.
 */
export async function openScratch(purpose: string, parent: string = tmpdir()): Promise<Scratch> {
  for (const name of await readdir(parent)) {
    const [, of, pid] = /^xeno-([a-z]+)-(\d+)-/.exec(name) ?? [];
    if (of === purpose && !isAlive(Number(pid))) await remove(join(parent, name));
  }
  const directory = await mkdtemp(join(parent, `xeno-${purpose}-${process.pid}-`));
  // apt downloads as a user of its own, who must be able to walk through.
  await chmod(directory, 0o755);
  return { directory, [Symbol.asyncDispose]: () => remove(directory) };
}

async function remove(directory: string): Promise<void> {
  await rm(directory, { recursive: true, force: true, maxRetries: 3 });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
