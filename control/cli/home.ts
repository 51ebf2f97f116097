/**
 * Where a user's state lies: `$XENO_HOME`, by default `xeno` in the user's data directory.
 *
 *     keys/      private keys, and `keys/trusted/`: who may sign what
 *     store/     the default XenoStore, a directory
 *     store.url  which XenoStore `xeno store use` chose instead
 *     cache/     trees that commands pulled, one directory per process at a time
 *     builds/    journals of overlays that were built
 *     journals/  journals of mounts and exports that were given no directory
 *     servers/   the XenoServers that `xeno server run` started: where their sockets are
 */
import { readFileSync } from "node:fs";
import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { XenoError } from "../../cowfs/errors.ts";
import { takeLock } from "../../cowfs/journals/lock.ts";
import type { LivePolicy } from "../../templates/layers/live-policy.ts";
import { type Layers, openLayers } from "../../templates/layers/open-layers.ts";
import { readTrust, type Trust } from "../../xenostore/keys/key-ring.ts";
import type { ObjectStore } from "../../xenostore/stores/object-store.ts";
import { type OpenStoreOptions, openStore } from "../../xenostore/stores/open-store.ts";
import { normalizeStoreUrl } from "../../xenostore/stores/store-url.ts";

const maxCaches = 64;

export interface Home {
  readonly directory: string;
  readonly keys: string;
  readonly trust: Trust;
  /** A directory or a URL: see xenostore/stores/store-url.ts. */
  readonly store: string;
  at(...parts: string[]): string;
  /**
   * A directory that the user named is made only where `create` is set: a slip of the keyboard would else be an empty
   * store.
   */
  openStore(options?: OpenStoreOptions): Promise<ObjectStore>;
  openLayers(store?: ObjectStore, live?: LivePolicy): Promise<Layers>;
}

/** `named` is what `--store` said. Throws `store-url`. */
export function findHome(named?: string): Home {
  const data = process.env.XDG_DATA_HOME ?? path.join(os.homedir(), ".local", "share");
  const directory = path.resolve(process.env.XENO_HOME ?? path.join(data, "xeno"));
  const at = (...parts: string[]) => path.join(directory, ...parts);
  const url = normalizeStoreUrl(
    named ?? (process.env.XENO_STORE || undefined) ?? readChosenStore(at("store.url")) ?? at("store"),
  );
  const open = async (options: OpenStoreOptions = {}) => {
    await fs.mkdir(directory, { recursive: true, mode: 0o700 });
    return await openStore(url, { create: url === at("store"), ...options });
  };
  const trust = readTrust(at("keys"));
  return {
    directory,
    keys: at("keys"),
    trust,
    store: url,
    at,
    openStore: open,
    openLayers: async (given, live) =>
      openLayers({ store: given ?? (await open()), trust, cacheDirectory: await lockCache(at("cache")), live }),
  };
}

function readChosenStore(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8").trim() || undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** A cache has one owner at a time: the first that is free, so that commands run side by side still share most. */
async function lockCache(directory: string): Promise<string> {
  for (let index = 0; index < maxCaches; index++) {
    const cache = path.join(directory, String(index));
    await fs.mkdir(cache, { recursive: true, mode: 0o700 });
    try {
      takeLock(path.join(cache, "lock"), `the cache ${cache}`);
      return cache;
    } catch (error) {
      if (!(error instanceof XenoError && error.code === "in-use")) throw error;
    }
  }
  throw new XenoError("in-use", `${maxCaches} processes use the caches in ${directory}`, {
    hint: "Wait for some of the commands that run to end.",
  });
}
