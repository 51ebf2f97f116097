/**
 * The peer: QEMU's own means. Memory goes to a file that is synced, and comes from it; a move sends the disk first, by a mirror
 * to the other QEMU's NBD server, then the memory, and ends the mirror while the guest stands still: what libvirt does for
 * `virsh migrate --copy-storage-inc`. Both go over unix sockets, where ours go through TLS and two network namespaces.
 */
import fs from "node:fs/promises";
import path from "node:path";
import { joinServer } from "../../../control/network/local-network.ts";
import type { LocalServers } from "../../../control/network/start-servers.ts";
import { AddressPool } from "../../../xenod/daemon/address-pool.ts";
import { describeLink } from "../../../xenod/links/addresses.ts";
import { createLink, deleteLink } from "../../../xenod/links/guest-link.ts";
import { diskInitOption } from "../../boot/disk/initramfs.ts";
import type { PreparedDisk } from "../../boot/disk/prepare.ts";
import type { PreparedHypervisor } from "../../boot/prepare-hypervisor.ts";
import { guest, type Mover } from "../mover.ts";
import type { Service } from "../services.ts";
import { type BareQemu, createDisk, startBareQemu } from "./bare-qemu.ts";

export interface BareSetup extends PreparedDisk {
  readonly local: LocalServers;
  readonly hypervisor: PreparedHypervisor;
  readonly directory: string;
  readonly service: Service;
}

/** As ours. */
const parameters = { "max-bandwidth": 2 ** 40, "downtime-limit": 100 };
const isCompleted = ({ status }: { status?: string }) => status === "completed";

interface Place {
  readonly link: { prefix: string; server: string; domain: string };
  readonly directory: string;
  readonly address: string;
}

export async function createBareMover(setup: BareSetup): Promise<Mover> {
  const { local, hypervisor, initramfs, image, service } = setup;
  const places: Place[] = [];
  for (const index of [1, 2]) {
    const name = `bare${index}`;
    const { addressPool } = await joinServer(local.prefix, { name, number: local.servers.length + index });
    const address = new AddressPool(addressPool).choose(() => false);
    const link = { prefix: local.prefix, server: name, domain: guest.name };
    places.push({ link, directory: path.join(setup.directory, name), address });
  }
  const [home] = places;
  const words = [hypervisor.image.commandLine, diskInitOption, describeLink(home.address), `xeno.init=${service.init}`];
  const commandLine = [...words, `xeno.hostname=${guest.name}`].join(" ");
  let at = home;
  let qemu: BareQemu | undefined;
  let addresses = [home.address];
  const memoryFile = path.join(setup.directory, "bare-memory");

  async function start({ link, directory, address }: Place, disk: string, signal: AbortSignal, incoming?: string) {
    const guestAddress = address === home.address ? undefined : home.address;
    const made = await createLink({ ...link, address, guestAddress });
    const kernel = { kernel: hypervisor.image.kernel, initramfs, commandLine };
    const specification = {
      name: guest.name,
      directory,
      memoryMiB: service.memoryMiB,
      cpus: guest.cpus,
      ...kernel,
      link: made,
    };
    return await startBareQemu(specification, { disk, hasKvm: hypervisor.kvm.works, incoming }, signal);
  }

  return {
    name: "bare",
    title: "Bare QEMU",
    addresses: () => addresses,
    async boot(signal) {
      qemu = await start(at, await createDisk(image, at.directory, signal), signal);
      await qemu.execute("cont");
    },
    async suspend(signal) {
      const command = Date.now();
      await qemu!.execute("stop");
      await qemu!.execute("migrate-set-parameters", parameters);
      await qemu!.execute("migrate", { uri: `exec:dd bs=1M conv=fsync status=none of=${memoryFile}` });
      await qemu!.until("query-migrate", isCompleted, signal);
      await qemu!.end();
      qemu = undefined;
      await deleteLink(at.link);
      return { totalMs: Date.now() - command, memoryBytes: (await fs.stat(memoryFile)).size };
    },
    async resume(signal) {
      const command = Date.now();
      qemu = await start(at, path.join(at.directory, "root.qcow2"), signal, `exec:cat ${memoryFile}`);
      await qemu.until("query-migrate", isCompleted, signal);
      await qemu.execute("cont");
      return { totalMs: Date.now() - command };
    },
    async migrate(signal) {
      const command = Date.now();
      const steps: Record<string, number> = {};
      const to = places.find((place) => place !== at)!;
      const [source, from] = [qemu!, at];
      const disk = await createDisk(image, to.directory, signal);
      const [memory, blocks] = ["memory.sock", "nbd.sock"].map((name) => path.join(to.directory, name));
      const target = await start(to, disk, signal, `unix:${memory}`);
      try {
        addresses = [from.address, to.address];
        await target.execute("nbd-server-start", { addr: { type: "unix", data: { path: blocks } } });
        await target.execute("nbd-server-add", { device: "root", writable: true });
        const mirror = { device: "root", sync: "top", mode: "existing", format: "raw" };
        await source.execute("drive-mirror", { ...mirror, target: `nbd+unix:///root?socket=${blocks}` });
        await source.until("query-block-jobs", ([job]: { ready?: boolean }[]) => job?.ready === true, signal);
        steps["disk copied"] = Date.now() - command;
        const pause = { capability: "pause-before-switchover", state: true };
        await source.execute("migrate-set-capabilities", { capabilities: [pause] });
        await source.execute("migrate-set-parameters", parameters);
        // As ours, for the same reason (xenod/hypervisors/qemu/qemu-domain.ts): a guest moved live panicked here.
        const stillSince = Date.now();
        if (!hypervisor.kvm.works) await source.execute("stop");
        await source.execute("migrate", { uri: `unix:${memory}` });
        await source.until("query-migrate", ({ status }: { status?: string }) => status === "pre-switchover", signal);
        const stopped = hypervisor.kvm.works ? Date.now() : stillSince;
        steps.stopped = stopped - command;
        await source.execute("block-job-cancel", { device: "root" });
        await source.until("query-block-jobs", (jobs: unknown[]) => jobs.length === 0, signal);
        await source.execute("migrate-continue", { state: "pre-switchover" });
        await source.until("query-migrate", isCompleted, signal);
        await target.until("query-migrate", isCompleted, signal);
        await target.execute("nbd-server-stop");
        await target.execute("cont");
        steps["stopped to running"] = Date.now() - stopped;
      } catch (error) {
        await target.end();
        throw error;
      }
      [qemu, at, addresses] = [target, to, [to.address]];
      await source.end();
      await deleteLink(from.link);
      return { totalMs: Date.now() - command, ...steps };
    },
    async remove() {
      await qemu?.end();
      for (const { link, directory } of places) {
        await deleteLink(link);
        await fs.rm(directory, { recursive: true, force: true });
      }
      await fs.rm(memoryFile, { force: true });
    },
  };
}
