/**
 * The peer of our boots: the same guest in the same QEMU on the same kind of link, but its root is a disk image on the host,
 * with a fresh copy-on-write image (qcow2) over it for each boot. So what differs is the file server.
 */
import fs from "node:fs/promises";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { execa } from "execa";
import { guestSize, pageDeadlineMs, pageText } from "../../../control/demo/deploy-and-fetch.ts";
import { waitForPage } from "../../../control/demo/pages.ts";
import { joinServer } from "../../../control/network/local-network.ts";
import type { LocalServers } from "../../../control/network/start-servers.ts";
import { XenoError } from "../../../cowfs/errors.ts";
import { AddressPool } from "../../../xenod/daemon/address-pool.ts";
import type { DomainSpecification } from "../../../xenod/hypervisors/hypervisor.ts";
import { composeCommand, domainFiles } from "../../../xenod/hypervisors/qemu/command-line.ts";
import { QemuDomain } from "../../../xenod/hypervisors/qemu/qemu-domain.ts";
import { startQemu } from "../../../xenod/hypervisors/qemu/qemu-process.ts";
import { describeLink } from "../../../xenod/links/addresses.ts";
import { forwardPorts } from "../../../xenod/links/forwarder.ts";
import { createLink, deleteLink } from "../../../xenod/links/guest-link.ts";
import { systemEnvironment } from "../../../xenod/system-path.ts";
import { readProcessorMs } from "../../processor-time.ts";
import type { Contender } from "../contender.ts";
import type { PreparedHypervisor } from "../prepare-hypervisor.ts";
import { diskInitOption } from "./initramfs.ts";

export interface DiskContender {
  readonly local: LocalServers;
  readonly hypervisor: PreparedHypervisor;
  readonly initramfs: string;
  readonly image: string;
  /** For what each guest needs while it runs. */
  readonly directory: string;
}

const domainName = "apache";
const bootDeadlineMs = 120_000;
const pollMs = 10;

/** As many guests at a time as there are XenoServers, each in the place of a XenoServer on the switch. */
export async function createDiskContender(setup: DiskContender): Promise<Contender> {
  const { prefix, servers, clientNamespace } = setup.local;
  const addresses = new Map<string, string>();
  for (const index of servers.keys()) {
    const place = { name: `disk${index + 1}`, number: servers.length + index + 1 };
    const { addressPool } = await joinServer(prefix, place);
    addresses.set(
      place.name,
      new AddressPool(addressPool).choose(() => false),
    );
  }
  return {
    name: "disk",
    title: "Disk image",
    guests: [...addresses.keys()],
    async boot(guest, run, signal) {
      const address = addresses.get(guest)!;
      const linkName = { prefix, server: guest, domain: domainName };
      const directory = path.join(setup.directory, guest);
      await fs.mkdir(directory, { recursive: true, mode: 0o700 });
      await using cleanup = new AsyncDisposableStack();
      cleanup.defer(() => fs.rm(directory, { recursive: true, force: true }));

      const command = Date.now();
      const steps: Record<string, number> = { accepted: 0 };
      const note = (step: string) => {
        steps[step] = Date.now() - command;
      };
      const disk = await createDisk(setup.image, directory, signal);
      note("disk");
      cleanup.defer(() => deleteLink(linkName));
      const link = await createLink({ ...linkName, address });
      note("link");
      const { image } = setup.hypervisor;
      const words = [image.commandLine, diskInitOption, describeLink(address), `xeno.hostname=${domainName}`];
      const guestKernel = { kernel: image.kernel, initramfs: setup.initramfs, commandLine: words.join(" ") };
      const specification = { name: domainName, directory, ...guestSize, ...guestKernel, link };
      const domain = await createDomain(specification, disk, setup.hypervisor.kvm.works, signal);
      cleanup.defer(() => domain.destroy());
      note("hypervisor");
      await domain.unpause();
      note("kernel");
      for (const [step, line] of [
        ["root", "bench: root mounted"],
        ["init", "bench: starting init"],
      ]) {
        await waitForLine(domainFiles(directory).consoleLog, line, signal);
        note(step);
      }
      const forward = { listen: { host: "127.0.0.1", port: 0 }, target: { host: address, port: 80 } };
      const forwarder = await forwardPorts(clientNamespace, [forward]);
      cleanup.defer(() => forwarder.close());
      await waitForPage(`http://127.0.0.1:${forwarder.ports[0]}/`, pageText, pageDeadlineMs, signal);
      note("page");
      const guestCpuMs = await readProcessorMs(link.namespace);
      const removal = Date.now();
      await cleanup.disposeAsync();
      return { run, guest, steps, removeMs: Date.now() - removal, guestCpuMs, serverCpuMs: 0 };
    },
  };
}

async function createDisk(image: string, directory: string, signal: AbortSignal): Promise<string> {
  const disk = path.join(directory, "root.qcow2");
  const options = ["create", "-q", "-f", "qcow2", "-F", "raw", "-b", image, disk];
  await execa("qemu-img", options, { cancelSignal: signal, env: systemEnvironment, stdin: "ignore" });
  return disk;
}

/** Our own QEMU's command, with a disk. */
async function createDomain(
  specification: DomainSpecification,
  disk: string,
  kvm: boolean,
  signal: AbortSignal,
): Promise<QemuDomain> {
  const { name, directory } = specification;
  const composed = composeCommand(specification, kvm ? "kvm" : "tcg", "qemu-system-x86_64", false);
  // Ours writes nothing but its console log; this one writes its disk.
  const command = composed.map((word) => (word.startsWith("--fsize=") ? "--fsize=unlimited" : word));
  command.push("-drive", `file=${disk.replaceAll(",", ",,")},if=none,id=root,format=qcow2`);
  command.push("-device", "virtio-blk-pci,drive=root");
  const { process, control } = await startQemu(specification, command, undefined, signal);
  return new QemuDomain(name, directory, process, control);
}

async function waitForLine(file: string, line: string, signal: AbortSignal): Promise<void> {
  const end = performance.now() + bootDeadlineMs;
  for (;;) {
    const text = await fs.readFile(file, "latin1").catch(() => "");
    if (text.includes(line)) return;
    if (performance.now() > end)
      throw new XenoError("guest-silent", `the guest did not print '${line}' in ${bootDeadlineMs / 1000} s`, {
        hint: `It printed: ${text.slice(-500)}`,
      });
    await delay(pollMs, undefined, { signal });
  }
}
