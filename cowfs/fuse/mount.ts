/**
 * Serves a FileSystem at a directory of this machine through FUSE.
 *
 * Mind: nothing in this process may use the mount synchronously (`fs.readFileSync` and the like), for the answer would have
 * to come from the thread that waits for it. Spawning is synchronous up to the exec: neither the program nor the `cwd` of a
 * child may lie in the mount (let the child `cd` or `chroot` there). Asynchronous calls work, child processes work best.
 */
import { closeSync, openSync } from "node:fs";
import type { FileSystem } from "../file-system.ts";
import { serveDevice } from "./device.ts";
import { attach, checkMountPoint, detach, detachNow, devicePath, type MountPoint } from "./mount-point.ts";
import { Session } from "./session.ts";

export interface MountOptions {
  /** What mount(8) and df(1) show as the source, such as the URL that is mounted. */
  name: string;
  /** Lets device nodes work, as in a chroot where packages are installed. **Unsafe** with content of others. */
  allowDevices?: boolean;
  /** Lets set-user-ID programs and file capabilities work. **Unsafe** with content of others. */
  allowSetuid?: boolean;
  readOnly?: boolean;
  /**
   * Seconds for which the kernel may believe names, attributes and content without asking; a day unless told otherwise,
   * since all changes come through it. 0 where something else changes the file system too (live layers, an NFS export
   * of the same journal): then every lookup and open asks.
   */
  validSeconds?: number;
  /**
   * Other file systems will be mounted inside, as in a chroot. Then the kernel is not told to forget names when a `.mount`
   * changes or is found: forgetting the name of a mount point, it takes off what is mounted there (d_invalidate).
   */
  holdsMounts?: boolean;
  /** Unmounts when it aborts. */
  signal?: AbortSignal;
  /** Told of errors that callers saw as EIO and that are no answer of the file system. */
  onError?: (error: unknown) => void;
}

export interface FuseMount {
  /**
   * Settles when the mount is gone, whoever took it off; rejects when the file system failed under it. Where somebody else
   * took it off, its copies in other mount namespaces are served on until these end.
   */
  readonly unmounted: Promise<void>;
  /**
   * Takes it off: waits a few seconds for its users to leave, then takes it from under them. Copies of the mount in other
   * mount namespaces go dead with it.
   */
  unmount(): Promise<void>;
}

const aDaySeconds = 86_400;

/**
 * Mounts and serves until unmounted. Throws XenoErrors `mount-needs-root`, `fuse-missing`, `mount-point-missing`,
 * `mount-point-busy`, `mount-point-dead`, `mount-failed`, or the reason of an aborted signal.
 */
export async function mountFileSystem(
  fileSystem: FileSystem,
  directory: string,
  options: MountOptions,
): Promise<FuseMount> {
  const { signal, onError = () => {}, validSeconds = aDaySeconds, holdsMounts = false } = options;
  signal?.throwIfAborted();
  const path = await checkMountPoint(directory);
  const device = openSync(devicePath, "r+");
  let point: MountPoint;
  let failure: { error: unknown } | undefined;
  const fail = (error: unknown) => {
    failure ??= { error };
    if (point !== undefined) detach(point, { force: true }).catch(onError);
  };
  const session = new Session(fileSystem, { device, validSeconds, holdsMounts, onFailure: fail, onError });
  try {
    point = await attach(device, path, {
      name: options.name,
      readOnly: options.readOnly ?? false,
      allowDevices: options.allowDevices ?? false,
      allowSetuid: options.allowSetuid ?? false,
    });
  } catch (thrown) {
    closeSync(device);
    throw thrown;
  }

  detachAtExit(point);
  const unmounted = serveDevice(device, session)
    .catch(fail)
    .finally(() => {
      attached.delete(point);
      signal?.removeEventListener("abort", onAbort);
      session.close();
    })
    .then(() => {
      if (failure !== undefined) throw failure.error;
    });
  // Told to whoever asks; a mount that nobody watches must not end the process.
  unmounted.catch(() => {});

  let unmounting: Promise<void> | undefined;
  const unmount = () => {
    unmounting ??= detach(point).then(
      () => {
        session.close();
        return unmounted;
      },
      (thrown) => {
        // What stood in the way may be gone the next time.
        unmounting = undefined;
        throw thrown;
      },
    );
    return unmounting;
  };
  const onAbort = () => void unmount().catch(onError);
  signal?.addEventListener("abort", onAbort);
  if (signal?.aborted) {
    await unmount();
    signal.throwIfAborted();
  }
  await session.initialized.catch(async (thrown) => {
    await unmount();
    throw thrown;
  });
  return { unmounted, unmount };
}

/** What a process that ends without unmounting, as after an uncaught error, takes off as its last act. */
const attached = new Set<MountPoint>();

function detachAtExit(point: MountPoint): void {
  if (attached.size === 0) {
    process.removeListener("exit", detachAll);
    process.once("exit", detachAll);
  }
  attached.add(point);
}

function detachAll(): void {
  for (const point of attached) detachNow(point);
}
