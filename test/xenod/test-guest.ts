/**
 * A real guest for tests: the kernel template with an init of the tests' own, which brings no root up but a shell on the
 * console. So a test can be the guest.
 */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import type { ExecutionContext } from "ava";
import { writeArchive } from "../../templates/kernel/archive.ts";
import type { DomainSpecification } from "../../xenod/hypervisors/hypervisor.ts";
import { destroyForcibly, openConsole } from "../../xenod/hypervisors/qemu/qemu.ts";
import { openCachedKernel } from "../templates/kernel/cached-kernel.ts";

/** `load` brings the link's device up; `button` hears that the guest is to power off, unless the guest is deaf. */
const devices = {
  virtio: {
    load: `while read -r module; do insmod "/modules/$module"; done </modules/virtio
`,
    button: `case " $(cat /proc/cmdline) " in
  *" test.deaf "*) ;;
  *) exec 3</dev/input/event0 # open before anyone is told: an event goes to those who have the device open
    (dd bs=24 count=1 of=/dev/null && poweroff -f) <&3 2>/dev/null & ;;
esac
`,
  },
  // Xen's button is a program that the kernel runs.
  xen: {
    load: `while read -r module; do insmod "/modules/$module"; done </modules/xen
until [ -e /sys/class/net/eth0 ]; do sleep 0.1; done
`,
    button: `mkdir -p /sbin
case " $(cat /proc/cmdline) " in
  *" test.deaf "*) ;;
  *) printf '#!/bin/busybox sh\\nexec /bin/poweroff -f\\n' >/sbin/poweroff; chmod 755 /sbin/poweroff ;;
esac
`,
  },
} as const;

const pollDeadlineMs = 120_000;

type DeviceKind = keyof typeof devices;

function composeInit(kind: DeviceKind): string {
  return `#!/bin/busybox sh
export PATH=/bin
/bin/busybox mount -t devtmpfs none /dev
exec </dev/console >/dev/console 2>&1
/bin/busybox --install -s /bin
mount -t proc none /proc
mount -t sysfs none /sys
stty -echo
${devices[kind].load}ip link set lo up
ip addr add 169.254.1.2/30 dev eth0
ip link set eth0 up
${devices[kind].button}echo "guest is up"
# Not a shell on the terminal: that prompts, edits lines, and takes a read which a signal ended for the end of its input.
while :; do IFS= read -r line && eval "$line" </dev/null; done
`;
}

export type TestSpecification = Omit<DomainSpecification, "link">;

export interface OtherHypervisor {
  readonly devices: DeviceKind;
  end(name: string, directory: string): Promise<void>;
}

const ownHypervisor: OtherHypervisor = {
  devices: "virtio",
  end: (_name, directory) => destroyForcibly(directory),
};

/** A directory and all but the link of a domain; whatever runs there ends with the test. `hypervisor`: where it is no QEMU. */
export async function prepareGuest(
  t: ExecutionContext,
  name: string,
  options = "",
  hypervisor = ownHypervisor,
): Promise<TestSpecification> {
  const kernel = await openCachedKernel();
  const directory = await mkdtemp(join(tmpdir(), "xeno-guest-"));
  t.teardown(async () => {
    await hypervisor.end(name, directory);
    await rm(directory, { recursive: true, force: true });
  });
  // The kernel unpacks archives that follow each other; the later file of a name stays.
  const ours = writeArchive([
    { path: "init", kind: "file", mode: 0o755, data: Buffer.from(composeInit(hypervisor.devices)) },
  ]);
  const initramfs = join(directory, "initramfs.cpio");
  await writeFile(initramfs, Buffer.concat([await readFile(kernel.initramfs), ours]));
  const commandLine = `${kernel.commandLine} ${options}`;
  return { name, directory, memoryMiB: 128, cpus: 1, kernel: kernel.kernel, initramfs, commandLine };
}

/** Polls until the console's record holds the text so many times. */
export async function waitForConsole(
  directory: string,
  text: string,
  times = 1,
  deadlineMs = pollDeadlineMs,
): Promise<void> {
  const isSo = async () => {
    const record = await readFile(join(directory, "console.log"), "latin1").catch(() => "");
    return record.split(text).length > times;
  };
  await poll(`${times} of "${text}" on the console`, isSo, deadlineMs);
}

/** Types at a guest's shell. */
export class GuestShell {
  readonly #console: Duplex;
  readonly #patienceMs: number;
  #output = "";
  #commands = 0;

  /** `console`: where it is not a QEMU's. `patienceMs`: of one command. */
  constructor(
    t: ExecutionContext,
    directory: string,
    console: Duplex = openConsole(directory),
    patienceMs = pollDeadlineMs,
  ) {
    this.#patienceMs = patienceMs;
    this.#console = console.setEncoding("latin1");
    this.#console.on("data", (text: unknown) => {
      this.#output += text;
    });
    this.#console.on("error", () => {});
    t.teardown(() => this.close());
  }

  type(line: string): void {
    this.#console.write(`${line}\n`);
  }

  /** Runs a command; returns its exit status and what it printed. */
  async run(command: string): Promise<{ status: number; output: string }> {
    const mark = `done-${++this.#commands}`;
    this.#output = "";
    this.type(`${command}; echo "${mark} $?"`);
    const pattern = new RegExp(`^(.*)${mark} (\\d+)\\r?\\n`, "ms");
    await poll(`the guest's answer to: ${command}`, async () => pattern.test(this.#output), this.#patienceMs);
    const [, output, status] = pattern.exec(this.#output)!;
    return { status: Number(status), output: output.replaceAll("\r", "") };
  }

  close(): void {
    this.#console.destroy();
  }
}

export async function poll(what: string, isSo: () => Promise<boolean>, deadlineMs = pollDeadlineMs): Promise<void> {
  const end = performance.now() + deadlineMs;
  while (!(await isSo())) {
    if (performance.now() > end) throw new Error(`waited ${deadlineMs} ms in vain for ${what}`);
    // Where much patience is needed, looking costs much.
    await delay(Math.max(20, deadlineMs / 6_000));
  }
}
