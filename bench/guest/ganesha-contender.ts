/**
 * A peer: nfs-ganesha on kernel overlayfs, over the same root as files, on the guest's link. Its lower files are the disk image of
 * the other peer, mounted; its upper ones lie on the host's disk, as our journal does.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs/promises";
import path from "node:path";
import { execa } from "execa";
import { XenoError } from "../../cowfs/errors.ts";
import { tapName } from "../../xenod/links/addresses.ts";
import type { GuestLink } from "../../xenod/links/guest-link.ts";
import { namespacePath } from "../../xenod/links/namespaces.ts";
import { systemEnvironment } from "../../xenod/system-path.ts";
import type { PreparedDisk } from "../boot/disk/prepare.ts";
import { bootPeer, type PeerPlace } from "./boot-peer.ts";
import type { Contender } from "./contender.ts";
import type { GaneshaAnswer } from "./serve-ganesha.ts";

const program = new URL("serve-ganesha.ts", import.meta.url).pathname;

/** `syncs`: every change of a directory is on stable storage before it is answered, as with nfs's rows on disk. */
export function createGaneshaContender(place: PeerPlace, { image }: PreparedDisk, syncs: boolean): Contender {
  return {
    name: syncs ? "ganesha-sync" : "ganesha",
    title: `nfs-ganesha on overlayfs${syncs ? ", made to sync" : ""}`,
    async boot(signal) {
      const directory = path.join(place.directory, "ganesha");
      const words = [`xeno.export=${path.join(directory, "merged")}`];
      return await bootPeer(
        place,
        {
          initramfs: place.hypervisor.image.initramfs,
          words,
          async serve(link, cleanup) {
            await fs.mkdir(directory, { mode: 0o700 });
            const { mountPort } = await startServing(link, [image, directory, ...(syncs ? ["sync"] : [])], cleanup);
            words.push(`xeno.mount=mountport=${mountPort}`);
            const accept = `insert rule ip guest input iifname "${tapName}" tcp dport ${mountPort} accept`;
            await execa("ip", ["netns", "exec", link.namespace, "nft", accept], { env: systemEnvironment });
          },
        },
        signal,
      );
    },
  };
}

/** In namespaces of its own, but for the link's network: all of it ends with its first process. */
async function startServing(
  { namespace }: GuestLink,
  serving: readonly string[],
  cleanup: AsyncDisposableStack,
): Promise<Extract<GaneshaAnswer, { mountPort: number }>> {
  const inside = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
  const words = [`--net=${namespacePath(namespace)}`, ...inside, process.execPath, "--no-warnings", program];
  const child = spawn("nsenter", [...words, ...serving], {
    stdio: ["ignore", "ignore", "inherit", "ipc"],
    env: { ...process.env, ...systemEnvironment },
    detached: true,
  });
  cleanup.defer(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, "exit");
    // Its first process sees that nobody listens any more, takes all down, and ends.
    child.disconnect();
    await exit;
  });
  const ended = once(child, "exit").then(() => ({ error: "it ended at once" }));
  const answer = await Promise.race([once(child, "message").then(([said]) => said as GaneshaAnswer), ended]);
  if ("error" in answer) throw new XenoError("peer-failed", `nfs-ganesha does not serve: ${answer.error}`);
  return answer;
}
