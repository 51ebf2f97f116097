/**
 * Real Xen hosts without a Xen machine: one or two QEMUs, in each Debian's Xen with this checkout's Xenod and file server in
 * dom0. They are driven from outside through the ordinary API, and share a directory (`/lab` in dom0) that holds the
 * XenoStore, the keys and the hosts' logs.
 */
import { randomBytes } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { XenoError } from "../../cowfs/errors.ts";
import { XenodClient } from "../../xenod/api/client.ts";
import { QmpClient } from "../../xenod/hypervisors/qemu/qmp.ts";
import { loadIdentity } from "../../xenod/identity/tls-identity.ts";
import { readStartTime, waitUntilGone } from "../../xenod/processes.ts";
import { createKey, type PublicKeyText, trustKey } from "../../xenostore/keys/key-ring.ts";
import { bootDom0 } from "./booted-dom0.ts";
import { makeSourcesDisk, type SourcesOptions } from "./checkout-disks.ts";
import { Dom0Shell } from "./dom0-shell.ts";
import { buildImages, type ImageBuild } from "./images.ts";
import { xenodNodeOptions } from "./warm-node.ts";
import {
  apiPortInside,
  findApiPort,
  labHostNames,
  linkAddress,
  linkMac,
  startXenHost,
  xenHostFiles,
} from "./xen-host.ts";

export interface LabOptions {
  /** `xen-lab` of the user's state: holds the images. */
  readonly home: string;
  /** Of this lab; what was in it is removed. Default: `run` of `home`, which one lab has at a time. */
  readonly directory?: string;
  readonly hosts: 1 | 2;
  readonly withXenod?: boolean;
  /** What of this checkout is in dom0 besides Xenod. */
  readonly sources?: SourcesOptions;
  /** The hosts end when this process does, however that ends. */
  readonly isTied?: boolean;
  readonly signal: AbortSignal;
  onProgress(step: string): void;
}

export interface LabHost {
  readonly name: string;
  readonly shell: Dom0Shell;
  /** For `xeno server add`. */
  readonly url: string;
  /** On the link between the hosts. */
  readonly address: string;
}

interface HostRecord {
  readonly name: string;
  readonly number: number;
  readonly process: number;
  readonly startTime: string;
  /** Of this machine; known once its dom0 is up. */
  apiPort?: number;
}

export const callerKey = "lab";
const recordFile = "hosts.json";

/** Makes what hosts are started from, or finds it made. */
export async function buildLab(build: ImageBuild) {
  const images = await buildImages(build);
  return { images, ...(await bootDom0(images, build)) };
}

/** Settles when each dom0 is up; `connectXenod` waits for Xenod. What an earlier lab left in the directory is ended first. */
export async function startLab(options: LabOptions): Promise<LabHost[]> {
  const { home, hosts, signal, onProgress, withXenod = true, isTied } = options;
  const directory = options.directory ?? join(home, "run");
  const built = await buildLab({ directory: join(home, "images"), signal, onProgress });
  await stopLab(directory);
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await prepareKeys(directory);
  const records: HostRecord[] = [];
  try {
    const sources = join(directory, "sources.squashfs");
    await makeSourcesDisk(sources, signal, options.sources);
    for (const [index, name] of labHostNames.slice(0, hosts).entries()) {
      const number = index + 1;
      const configuration = {
        name,
        state: `/var/lib/xeno/${name}`,
        store: "/lab/store",
        trust: "/lab/keys",
        listen: `0.0.0.0:${apiPortInside}`,
      };
      await writeFile(join(directory, `${name}.json`), JSON.stringify(configuration));
      onProgress(`starting Xen host ${name}`);
      const child = await startXenHost({ ...built, name, number, sources, directory, isTied });
      child.unref();
      const startTime = await readStartTime(child.pid!);
      if (startTime !== undefined) records.push({ name, number, process: child.pid!, startTime });
      await writeRecords(directory, records);
    }
    await Promise.all(records.map((record) => joinLab(directory, record, withXenod, signal)));
    for (const record of records) record.apiPort = await findApiPort(xenHostFiles(directory, record.name).control);
    await writeRecords(directory, records);
    onProgress("dom0 is up");
    return records.map((record) => describeHost(directory, record));
  } catch (error) {
    await stopLab(directory);
    throw error;
  }
}

/** The hosts of a lab that runs. */
export async function findLab(directory: string): Promise<LabHost[]> {
  return (await readRecords(directory)).map((record) => describeHost(directory, record));
}

/** Ends the lab's hosts, with all that runs in them. Settles once they are gone. */
export async function stopLab(directory: string): Promise<void> {
  for (const { process: pid, startTime } of await readRecords(directory)) {
    if ((await readStartTime(pid)) !== startTime) continue;
    try {
      process.kill(pid, "SIGKILL");
    } catch {}
    await waitUntilGone(pid, startTime, 30_000);
  }
  await rm(join(directory, recordFile), { force: true });
}

/** As if the machine had been switched off and on: what was synced stays. Settles when its dom0 is up, and Xenod has been started. */
export async function rebootHost(directory: string, host: LabHost, signal: AbortSignal): Promise<void> {
  const record = (await readRecords(directory)).find(({ name }) => name === host.name)!;
  // dom0's disk has no journal.
  await host.shell.require("sync", signal);
  const qmp = await QmpClient.connect(xenHostFiles(directory, host.name).control);
  try {
    const isReset = new Promise<void>((resolve) =>
      qmp.onEvent(({ event }) => {
        if (event === "RESET") resolve();
      }),
    );
    // It was started with -no-reboot.
    await qmp.execute("set-action", { reboot: "reset" });
    await qmp.execute("system_reset");
    await Promise.race([isReset, qmp.closed()]);
  } finally {
    qmp.close();
  }
  await joinLab(directory, record, true, signal);
}

/** The API of a host's Xenod, as a caller from elsewhere has it. Waits until it answers. */
export async function connectXenod(directory: string, host: LabHost, signal: AbortSignal): Promise<XenodClient> {
  const serverKey = await waitForServerKey(directory, host.name, signal);
  const identity = await loadIdentity(join(directory, "keys"), callerKey);
  const endpoint = { url: host.url, serverKey, identity };
  // A dom0's time goes by as slowly as it is emulated.
  const client = new XenodClient({ endpoint, name: host.name, patienceMs: 600_000, deadlineMs: 1_200_000 });
  await client.status(signal);
  return client;
}

/** What `xeno server run` printed at its start. */
export async function waitForServerKey(directory: string, name: string, signal: AbortSignal): Promise<PublicKeyText> {
  for (;;) {
    const log = await readFile(xenHostFiles(directory, name).xenodLog, "utf8").catch(() => "");
    const [, key] = /^publicKey +(ed25519:\S+)$/m.exec(log) ?? [];
    if (key !== undefined) return key;
    await delay(100, undefined, { signal });
  }
}

function describeHost(directory: string, { name, number, apiPort }: HostRecord): LabHost {
  const shell = new Dom0Shell(xenHostFiles(directory, name).shell);
  return { name, shell, url: `https://127.0.0.1:${apiPort}`, address: linkAddress(number) };
}

async function prepareKeys(directory: string): Promise<void> {
  const keys = join(directory, "keys");
  const { publicKey } = await createKey(keys, callerKey);
  await trustKey(keys, "operators", publicKey);
  await trustKey(keys, callerKey, publicKey);
}

/** Tells a dom0 which host it is. */
async function joinLab(directory: string, record: HostRecord, withXenod: boolean, signal: AbortSignal): Promise<void> {
  const host = describeHost(directory, record);
  const up = new AbortController();
  const ended = (async () => {
    while ((await readStartTime(record.process)) === record.startTime)
      await delay(200, undefined, { signal: up.signal });
    const { console, complaints } = xenHostFiles(directory, host.name);
    const said = await Promise.all([complaints, console].map((file) => readFile(file, "utf8").catch(() => "")));
    throw new XenoError("xen-lab-not-started", `Xen host ${host.name} ended: ${said.join("\n").slice(-3000)}`);
  })();
  ended.catch(() => {});
  const now = Math.floor(Date.now() / 1000);
  const random = randomBytes(32).toString("hex");
  const identity = [host.name, `${host.address}/24`, linkMac(record.number), now, random];
  const words = [...identity, ...(withXenod ? ["--no-warnings", ...xenodNodeOptions] : [])];
  const commands = [
    "mount -t squashfs -o ro /dev/vdb /project",
    `sh /project/bench/xen-lab/dom0-join.sh ${words.join(" ")}`,
  ];
  try {
    const joined = host.shell.require(commands.join(" && "), AbortSignal.any([signal, up.signal]));
    // A connection that breaks does not say why: its host ends.
    const told = joined.catch((error) => {
      if (signal.aborted || error.code === "dom0-command-failed") throw error;
      return ended;
    });
    await Promise.race([told, ended]);
  } finally {
    up.abort();
  }
}

async function readRecords(directory: string): Promise<HostRecord[]> {
  return await readFile(join(directory, recordFile), "utf8").then(JSON.parse, () => []);
}

async function writeRecords(directory: string, records: readonly HostRecord[]): Promise<void> {
  const file = join(directory, recordFile);
  await writeFile(`${file}.new`, JSON.stringify(records));
  await rename(`${file}.new`, file);
}
