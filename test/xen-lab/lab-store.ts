/** The lab's XenoStore, filled from outside: what is done here is not emulated. */
import { join } from "node:path";
import type { Dom0Shell } from "../../bench/xen-lab/dom0-shell.ts";
import { openLayers } from "../../templates/layers/open-layers.ts";
import { KernelImages } from "../../xenod/daemon/kernel-images.ts";
import { createKey, loadKey, readTrust, trustKey } from "../../xenostore/keys/key-ring.ts";
import { openDirectoryStore } from "../../xenostore/stores/directory-store.ts";
import type { Published } from "../xenod/published.ts";

/** Of the lab's directory; made where there is none. Its key may publish for `demo` and `templates`. */
export async function openLabStore(directory: string): Promise<Published> {
  const storeDirectory = join(directory, "store");
  const trustDirectory = join(directory, "keys");
  const store = await openDirectoryStore(storeDirectory, { create: true });
  const key = await loadKey(trustDirectory, "tests").catch(() => createKey(trustDirectory, "tests"));
  for (const owner of ["demo", "templates"]) await trustKey(trustDirectory, owner, key.publicKey);
  return { directory, storeDirectory, trustDirectory, store, key };
}

/** Takes a kernel out of the store, as each host's Xenod would, but once. Returns what copies it, in a dom0, to a Xenod's `state`. */
export async function extractKernel(
  { directory, store, trustDirectory }: Published,
  url: string,
  signal: AbortSignal,
): Promise<(shell: Dom0Shell, state: string) => Promise<void>> {
  const layers = openLayers({ store, trust: readTrust(trustDirectory), cacheDirectory: join(directory, "cache") });
  try {
    const { tree } = await layers.resolveUrl(url, signal);
    await new KernelImages(join(directory, "kernels"), layers).prepare(url, tree, signal);
  } finally {
    await layers.close();
  }
  return async (shell, state) => {
    const kernels = `${state}/kernels`;
    await shell.require(`mkdir -p ${kernels} && cp -r /lab/kernels/. ${kernels}/`, signal);
  };
}
