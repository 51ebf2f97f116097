/**
 * A XenoServer on a Debian dom0 as docs/operating.md has it installed: its units start under systemd, are started again when Xenod is
 * killed, leave guests alone when they are restarted, and power them off before the host goes down.
 */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { execa } from "execa";
import { makeSourcesDisk } from "../../../bench/xen-lab/checkout-disks.ts";
import { Dom0Shell } from "../../../bench/xen-lab/dom0-shell.ts";
import { buildImages } from "../../../bench/xen-lab/images.ts";
import { findApiPort, startXenHost, xenHostFiles } from "../../../bench/xen-lab/xen-host.ts";
import { XenodClient } from "../../../xenod/api/client.ts";
import { loadIdentity } from "../../../xenod/identity/tls-identity.ts";
import { systemEnvironment } from "../../../xenod/system-path.ts";
import { createKey, type PublicKeyText } from "../../../xenostore/keys/key-ring.ts";
import { parseCount, publishCountingGuest } from "../../end-to-end/counting-guest.ts";
import type { Published } from "../../xenod/published.ts";
import { extractKernel, openLabStore } from "../lab-store.ts";
import { buildDebianDisk } from "./build-disk.ts";
import { readCommands } from "./documented-commands.ts";

export interface DebianStory {
  /** `xen-lab` of the user's state. */
  readonly home: string;
  readonly signal: AbortSignal;
  onProgress(step: string): void;
}

const name = "debian";
const guest = "guest";
const unit = "xeno-server@a";
/** As small and as idle as a guest of two-hosts.ts, and for the same reasons. */
const size = { pauseSeconds: 1, memoryMiB: 96 };
const logsDeadlineMs = 120_000;
/** What is asked again and again takes a fifth of an emulated processor's time, and no more. */
const restPerAsking = 4;

/** Rejects with what was not as it should be. */
export async function tellDebianDom0({ home, signal, onProgress }: DebianStory): Promise<void> {
  const build = { directory: join(home, "images"), signal, onProgress };
  const images = await buildImages(build);
  const debian = await buildDebianDisk(images, build);
  const directory = join(home, "debian-run");
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const disk = join(directory, "disk.qcow2");
  await execa("qemu-img", ["create", "-q", "-f", "qcow2", "-b", debian, "-F", "raw", disk], { env: systemEnvironment });
  const sources = join(directory, "sources.squashfs");
  await makeSourcesDisk(sources, signal);
  const firstProcess = join(import.meta.dirname, "first-process.sh");
  const place = { name, number: 1, images, disk, sources, directory, firstProcess, isTied: true };
  onProgress("starting a Debian dom0");
  const machine = await startXenHost(place);
  const ended = new Promise<void>((resolve) => machine.once("exit", () => resolve()));
  const shell = new Dom0Shell(xenHostFiles(directory, name).shell);
  try {
    const run = (command: string) => shell.require(command, signal);
    onProgress(`systemd is up: ${await waitForSystemd(shell, signal)}`);
    await layCheckout(run);
    const published = await openLabStore(directory);
    await installAsDocumented(run, published, onProgress);
    const guestDocument = await publishCountingGuest(published, size);
    const layKernel = await extractKernel(published, guestDocument.kernel, signal);
    await layKernel(shell, "/var/lib/xeno/servers/a");
    const server = await connect(run, directory, await findApiPort(xenHostFiles(directory, name).control), signal);
    try {
      await proveUnits({ run, client: server, document: guestDocument, signal, onProgress });
    } finally {
      await server.close();
    }
  } catch (error) {
    if (!signal.aborted) onProgress(await readLogs(shell));
    throw error;
  } finally {
    machine.kill("SIGKILL");
    await ended;
  }
}

/** For who asks why something failed. */
async function readLogs(shell: Dom0Shell): Promise<string> {
  const guests = "find /var/lib/xeno -name console.log -exec tail -n 20 {} +";
  const command = `journalctl --no-pager -n 60 -u ${unit} -u xeno-guests@a; ${guests}`;
  return await shell.run(command, AbortSignal.timeout(logsDeadlineMs)).then(({ output }) => output, String);
}

type Run = (command: string) => Promise<string>;

/** Returns what it says of itself, with what has failed of it. */
async function waitForSystemd(shell: Dom0Shell, signal: AbortSignal): Promise<string> {
  const { output } = await shell.run(
    "systemctl is-system-running --wait; systemctl --failed --no-legend --plain",
    signal,
  );
  assert.match(output, /^(running|degraded)\n/);
  // Debian's script of Xen, as a service.
  assert.equal((await shell.require("systemctl is-active xen.service", signal)).trim(), "active");
  assert.doesNotMatch(output, /xen|xeno/);
  return output.trim().replaceAll("\n", "; ");
}

/** In the place of `git clone` and `npm install`: this checkout, and its packages. */
async function layCheckout(run: Run): Promise<void> {
  const steps = [
    "mkdir -p /packages /project /lab",
    "mount -t squashfs -o ro /dev/vdb /project && mount -t squashfs -o ro /dev/vdc /packages",
    "mount --bind /packages /project/node_modules",
    // They are this lockfile's, whatever its text was when their disk was made.
    "cd /project && sha256sum package-lock.json >/run/stamp && mount --bind /run/stamp node_modules/.package-lock.sha256",
    // What Node has compiled of it lies where bin/xeno looks for it.
    "mount -t tmpfs none /project/node_modules/.cache && mkdir /project/node_modules/.cache/node",
    "mount --bind /project/compile-cache /project/node_modules/.cache/node",
    "ln -s /project /opt/xenoserver",
    "mount -t 9p -o trans=virtio,version=9p2000.L,msize=524288,cache=none lab /lab",
    "ip addr add 10.0.2.15/24 dev eth0 && ip link set eth0 up && ip route add default via 10.0.2.2",
    `date -s @${Math.floor(Date.now() / 1000)}`,
  ];
  for (const step of steps) await run(step);
}

/** What is installed when it begins is not installed again; the keys, the store and who may call are the lab's. */
async function installAsDocumented(
  run: Run,
  { key, trustDirectory }: Published,
  onProgress: (step: string) => void,
): Promise<void> {
  const operator = await createKey(trustDirectory, "operator");
  const commands = (await readCommands("Installing")).filter((line) => !/^(apt-get|git clone) /.test(line));
  let environment = "";
  for (const line of commands) {
    if (line.startsWith("export ")) {
      environment = `${line}; `;
      await run(`${environment} xeno key trust operators ${operator.publicKey}`);
      await run(`${environment} xeno store use /lab/store`);
    } else if (/xeno doctor/.test(line)) onProgress((await run(`${line} 2>&1 || true`)).trim());
    else if (/journalctl/.test(line)) await waitFor(run, `${line} | grep -q publicKey`);
    else await run(environment + line.replace("ed25519:…", key.publicKey));
    onProgress(`# ${line}`);
  }
}

async function connect(run: Run, directory: string, apiPort: number, signal: AbortSignal): Promise<XenodClient> {
  await waitFor(run, `systemctl is-active ${unit}`);
  await waitFor(run, `journalctl -u ${unit} | grep -q publicKey`);
  const serverKey = /publicKey +(ed25519:\S+)/.exec(
    await run(`journalctl -u ${unit} | grep publicKey | tail -n 1`),
  )![1]!;
  const identity = await loadIdentity(join(directory, "keys"), "operator");
  const endpoint = { url: `https://127.0.0.1:${apiPort}`, serverKey: serverKey as PublicKeyText, identity };
  const client = new XenodClient({ endpoint, name: "a", patienceMs: 600_000, deadlineMs: 1_200_000 });
  await client.status(signal);
  return client;
}

interface Proof {
  readonly run: Run;
  readonly client: XenodClient;
  readonly document: Awaited<ReturnType<typeof publishCountingGuest>>;
  readonly signal: AbortSignal;
  onProgress(step: string): void;
}

async function proveUnits({ run, client, document, signal, onProgress }: Proof): Promise<void> {
  const { hypervisor } = await client.status(signal);
  assert.equal(hypervisor, "xl");
  const deployment = { id: randomUUID(), name: guest, ...document };
  await client.waitForTask((await client.deploy(deployment, signal)).task, undefined, signal);
  let count = await waitForCount(client, 3, signal);
  onProgress(`a guest runs, and has counted to ${count}`);

  const pid = async () => Number(await run(`systemctl show --value -p MainPID ${unit}`));
  const before = await pid();
  await run(`kill -9 ${before}`);
  await waitFor(run, `[ "$(systemctl show --value -p MainPID ${unit})" -gt 0 ] && systemctl is-active ${unit}`);
  assert.notEqual(await pid(), before);
  count = await waitForCount(client, count + 2, signal);
  onProgress(`Xenod was killed: systemd started another, and the guest has counted to ${count}`);

  await run(`systemctl restart ${unit}`);
  count = await waitForCount(client, count + 2, signal);
  assert.equal((await run("xl list | grep -c xeno-")).trim(), "1");
  onProgress(`restarted: the guest has counted on to ${count}`);

  await run("systemctl stop xeno-guests@a");
  assert.equal((await run("xl list | grep -c xeno- || true")).trim(), "0");
  await waitFor(run, `[ "$(systemctl is-active ${unit})" = inactive ]`);
  onProgress("xeno-guests@a is stopped, as before a reboot: the guest is off, and so is its XenoServer");
}

async function waitForCount(client: XenodClient, count: number, signal: AbortSignal): Promise<number> {
  for (;;) {
    const begun = performance.now();
    const reached = parseCount(await client.log(guest, undefined, signal).catch(() => ""));
    if (reached >= count) return reached;
    await delay(Math.max(500, restPerAsking * (performance.now() - begun)), undefined, { signal });
  }
}

/** Until the command succeeds. */
async function waitFor(run: Run, command: string): Promise<void> {
  await run(`until ${command}; do sleep 1; done >/dev/null`);
}
