/** A mount of the reference model for one test, and commands that run on it in processes of their own. */
import { mkdtemp, rmdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ExecutionContext } from "ava";
import { execa } from "execa";
import type { FileSystem } from "../../../cowfs/file-system.ts";
import { type FuseMount, type MountOptions, mountFileSystem } from "../../../cowfs/fuse/mount.ts";

export interface Mounted {
  readonly directory: string;
  readonly mount: FuseMount;
  /** Runs a shell script in the mount; resolves with its stdout, rejects with its stderr when a command fails. */
  shell(script: string): Promise<string>;
  /** The same as uid and gid 1000 with group 2000. */
  shellAsAlice(script: string): Promise<string>;
}

/** Generous: a machine that is shared may be twenty times slower. */
const commandMs = 120_000;

export async function makeDirectory(t: ExecutionContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "xeno-fuse-"));
  t.teardown(() => rmdir(directory));
  return directory;
}

export async function mountForTest(
  t: ExecutionContext,
  fileSystem: FileSystem,
  options: Partial<MountOptions> = {},
): Promise<Mounted> {
  const directory = await makeDirectory(t);
  const onError = (error: unknown) => t.fail(String(error));
  const mount = await mountFileSystem(fileSystem, directory, { name: "model", onError, ...options });
  // Teardowns run in reverse order: unmount, then remove.
  t.teardown(() => mount.unmount());
  const run = async (prefix: readonly string[], script: string) => {
    // The child goes into the mount by itself: as the working directory of a spawn it would be asked for by the spawning
    // thread, which is the serving one.
    const command = [...prefix, "sh", "-euc", `cd "$0"\n${script}`, directory];
    const { stdout } = await execa(command[0], command.slice(1), { timeout: commandMs });
    return stdout;
  };
  return {
    directory,
    mount,
    shell: (script) => run([], script),
    shellAsAlice: (script) => run(["setpriv", "--reuid=1000", "--regid=1000", "--groups=2000"], script),
  };
}

/** Waits until something is so, or fails after a minute. */
export async function eventually(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error(`it never came to be: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
