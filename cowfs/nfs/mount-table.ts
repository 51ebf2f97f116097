/** The hosts that said they mounted something. Bounded: the oldest entry goes when a client names too many paths. */
import type { MountTable } from "./procedures/procedure.ts";

const maxMounts = 256;

export function createMountTable(): MountTable {
  const mounts = new Map<string, { readonly host: string; readonly path: string }>();
  return {
    add(host, path) {
      const key = `${host} ${path}`;
      mounts.delete(key);
      mounts.set(key, { host, path });
      if (mounts.size > maxMounts) mounts.delete(mounts.keys().next().value!);
    },
    remove(host, path) {
      mounts.delete(`${host} ${path}`);
    },
    removeAll(host) {
      for (const [key, mount] of mounts) if (mount.host === host) mounts.delete(key);
    },
    list() {
      return mounts.values();
    },
  };
}
