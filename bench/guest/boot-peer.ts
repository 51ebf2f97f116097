/** A guest that is no XenoServer's, with our kernel, in our QEMU, on a link like ours. What differs is where its root is. */
import fs from "node:fs/promises";
import { domainFiles } from "../../xenod/hypervisors/qemu/command-line.ts";
import { describeLink } from "../../xenod/links/addresses.ts";
import { createLink, deleteLink, type GuestLink } from "../../xenod/links/guest-link.ts";
import type { PreparedHypervisor } from "../boot/prepare-hypervisor.ts";
import { startBareQemu } from "../moves/bare/bare-qemu.ts";
import { type Guest, guest } from "./contender.ts";

export interface PeerPlace {
  readonly hypervisor: PreparedHypervisor;
  /** A place on the switch, and the address of the guest there. */
  readonly prefix: string;
  readonly server: string;
  readonly address: string;
  /** For what the guest needs while it runs; removed with it. */
  readonly directory: string;
}

export interface PeerRoot {
  readonly initramfs: string;
  /** For the kernel's command line. */
  readonly words: readonly string[];
  /** Makes the guest's disk. */
  disk?(): Promise<string>;
  /** Serves the root on the link; takes down what it made by `cleanup`. */
  serve?(link: GuestLink, cleanup: AsyncDisposableStack): Promise<void>;
}

export async function bootPeer(place: PeerPlace, root: PeerRoot, signal: AbortSignal): Promise<Guest> {
  const { hypervisor, prefix, server, address, directory } = place;
  await using cleanup = new AsyncDisposableStack();
  await fs.mkdir(directory, { recursive: true, mode: 0o700 });
  cleanup.defer(() => fs.rm(directory, { recursive: true, force: true }));
  const name = { prefix, server, domain: guest.name };
  cleanup.defer(() => deleteLink(name));
  const link = await createLink({ ...name, address });
  await root.serve?.(link, cleanup);
  const { kernel, commandLine: words } = hypervisor.image;
  const commandLine = [words, ...root.words, describeLink(address), `xeno.hostname=${guest.name}`].join(" ");
  const specification = { ...guest, directory, kernel, initramfs: root.initramfs, commandLine, link };
  const options = { disk: await root.disk?.(), hasKvm: hypervisor.kvm.works };
  const qemu = await startBareQemu(specification, options, signal);
  cleanup.defer(() => qemu.end());
  await qemu.execute("cont");
  const kept = cleanup.move();
  return {
    readConsole: () => fs.readFile(domainFiles(directory).consoleLog, "latin1").catch(() => ""),
    remove: () => kept.disposeAsync(),
  };
}
