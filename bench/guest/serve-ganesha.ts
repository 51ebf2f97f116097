/**
 * `node serve-ganesha.ts IMAGE DIRECTORY [sync]`, in a mount namespace of its own: serves an overlay over the image until its parent is
 * gone. `sync`: changes of directories are synchronous (chattr(1), D), which is what `dirsync` does for all of a file system (mount(8)).
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { runChild } from "../nfs/child.ts";
import { startGanesha, startRpcbind } from "../nfs/servers.ts";

export type GaneshaAnswer = { readonly mountPort: number } | { readonly error: string };

const [image, directory, sync] = process.argv.slice(2);
const gone = new Promise((resolve) => process.once("disconnect", resolve));

try {
  await using cleanup = new AsyncDisposableStack();
  const log = join(directory, "setup.log");
  for (const hidden of ["/run", "/var/lib/nfs"]) await runChild(["mount", "-t", "tmpfs", "tmpfs", hidden], log);
  const lower = join(directory, "lower");
  for (const made of [lower, "/run/ganesha", "/var/lib/nfs/ganesha"]) await mkdir(made, { recursive: true });
  await runChild(["mount", "-t", "ext4", "-o", "loop,ro", image, lower], log);
  cleanup.defer(() => runChild(["umount", lower], log));
  // What is made in it inherits that: the upper layer, and where overlayfs prepares what it moves there.
  if (sync !== undefined) await runChild(["chattr", "+D", directory], log);
  const rpcbind = await startRpcbind(directory);
  cleanup.defer(() => rpcbind.end());
  const place = { directory, lower, logs: directory, core: undefined, home: "", url: "", profile: undefined };
  const { mountPort, end } = await startGanesha(place);
  cleanup.defer(end);
  process.send?.({ mountPort } satisfies GaneshaAnswer);
  await gone;
} catch (error) {
  process.send?.({ error: String(error) } satisfies GaneshaAnswer);
  process.exitCode = 1;
}
if (process.connected) process.disconnect();
