/** Who is compared: each mounts the same files below a writable layer of its own, and is unmounted with the stack. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { mountFileSystem } from "../../cowfs/fuse/mount.ts";
import type { Tree } from "../../cowfs/trees/tree.ts";
import { openUnion } from "../../cowfs/union/union.ts";
import { systemEnvironment } from "../../xenod/system-path.ts";

export interface Contender {
  readonly name: string;
  /** Where it is mounted. */
  readonly directory: string;
}

export interface Layers {
  /** Where it mounts, and on the same tmpfs for all where it keeps what is written. */
  readonly home: string;
  readonly upper: string;
  readonly lower: string;
  /** The files of `lower`, sealed. */
  readonly tree: Tree;
  readonly signal: AbortSignal;
}

type Mount = (directory: string, layers: Layers, stack: AsyncDisposableStack) => Promise<void>;

const url = "bench://sample";

const mounts: Readonly<Record<string, Mount>> = {
  ours: async (directory, { upper, tree, signal }, stack) => {
    const union = await openUnion({ journal: join(upper, "journal"), base: url, resolve: async () => tree, signal });
    stack.defer(() => union.close());
    const mount = await mountFileSystem(union, directory, { name: url, signal });
    stack.defer(() => mount.unmount());
  },
  overlayfs: async (directory, { lower, upper }, stack) => {
    const options = await makeOptions(lower, join(upper, "overlayfs"));
    await run("mount", ["-t", "overlay", "bench", "-o", options, directory]);
    unmountLater(directory, stack);
  },
  "fuse-overlayfs": async (directory, { lower, upper }, stack) => {
    const options = await makeOptions(lower, join(upper, "fuse-overlayfs"));
    await run("fuse-overlayfs", ["-o", options, directory]);
    unmountLater(directory, stack);
  },
  "unionfs-fuse": async (directory, { lower, upper }, stack) => {
    const own = join(upper, "unionfs-fuse");
    await mkdir(own);
    await run("unionfs-fuse", ["-o", "cow", `${own}=RW:${lower}=RO`, directory]);
    unmountLater(directory, stack);
  },
};

export const contenderNames = Object.keys(mounts);

export async function mountContenders(layers: Layers, stack: AsyncDisposableStack): Promise<Contender[]> {
  const contenders: Contender[] = [];
  for (const [name, mount] of Object.entries(mounts)) {
    const directory = join(layers.home, name);
    await mkdir(directory);
    await mount(directory, layers, stack);
    contenders.push({ name, directory });
  }
  return contenders;
}

async function makeOptions(lower: string, own: string): Promise<string> {
  const [upper, work] = [join(own, "upper"), join(own, "work")];
  for (const directory of [upper, work]) await mkdir(directory, { recursive: true });
  return `lowerdir=${lower},upperdir=${upper},workdir=${work}`;
}

function unmountLater(directory: string, stack: AsyncDisposableStack): void {
  stack.defer(() => run("umount", [directory]));
}

async function run(command: string, options: string[]): Promise<void> {
  await execa(command, options, { env: systemEnvironment, stdin: "ignore", timeout: 60_000 });
}
