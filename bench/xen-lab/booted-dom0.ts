/**
 * A dom0 that was booted once, kept as files: its memory and what it wrote to its disk. A host of the lab goes on with it; to boot one
 * takes half a minute of emulation.
 *
 * Made once for each state of what it is made of, beside the images: whole or not at all. Older ones are removed.
 */
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { execa } from "execa";
import { XenoError } from "../../cowfs/errors.ts";
import { QmpClient } from "../../xenod/hypervisors/qemu/qmp.ts";
import { systemEnvironment } from "../../xenod/system-path.ts";
import { growDisk } from "./checkout-disks.ts";
import { Dom0Shell } from "./dom0-shell.ts";
import { type ImageBuild, type LabImages, packInitramfs } from "./images.ts";
import { describeHosts, startXenHost, xenHostFiles } from "./xen-host.ts";

export interface BootedDom0 {
  readonly disk: string;
  readonly memory: string;
}

const deadlineMs = 600_000;
/** Bytes per second. */
const unlimited = 2 ** 40;

/** Boots a dom0 and keeps it, or finds it kept. */
export async function bootDom0(images: LabImages, { directory, signal, onProgress }: ImageBuild): Promise<BootedDom0> {
  const name = `booted-${await describeInputs(images)}`;
  const kept = join(directory, name);
  const booted = { disk: join(kept, "disk.qcow2"), memory: join(kept, "memory") };
  if (await stat(booted.memory).catch(() => undefined)) return booted;
  onProgress("booting dom0, once");
  const scratch = `${kept}.${process.pid}.tmp`;
  try {
    await mkdir(scratch);
    await bootInto(scratch, images, AbortSignal.any([signal, AbortSignal.timeout(deadlineMs)]));
    await rename(scratch, kept).catch(async (error) => {
      // Another was faster: what it kept is as good.
      if (!(await stat(booted.memory).catch(() => undefined))) throw error;
    });
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  for (const other of await readdir(directory))
    if (/^booted-[0-9a-f]{16}$/.test(other) && other !== name) await rm(join(directory, other), { recursive: true });
  return booted;
}

async function bootInto(directory: string, images: LabImages, signal: AbortSignal): Promise<void> {
  const disk = join(directory, "disk.qcow2");
  const sources = join(directory, "sources");
  await growDisk(sources);
  await execa("qemu-img", ["create", "-q", "-f", "qcow2", "-b", images.disk, "-F", "raw", disk], {
    env: systemEnvironment,
    cancelSignal: signal,
  });
  const host = { name: "dom0", number: 1, images, disk, sources, directory };
  const child = await startXenHost(host);
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const files = xenHostFiles(directory, host.name);
  try {
    const isUp = new Dom0Shell(files.shell).require("true", signal);
    isUp.catch(() => {});
    const failed = ended.then(async () => {
      const said = [await readFile(files.complaints, "utf8"), await readFile(files.console, "latin1").catch(() => "")];
      throw new XenoError("xen-lab-not-built", `dom0 does not boot: ${said.join("\n").slice(-3000)}`);
    });
    failed.catch(() => {});
    await Promise.race([isUp, failed]);
    await keepMemory(files.control, join(directory, "memory"), signal);
  } finally {
    child.kill("SIGKILL");
    await ended;
  }
  for (const name of [...Object.values(files), sources]) await rm(name, { force: true });
}

async function keepMemory(control: string, file: string, signal: AbortSignal): Promise<void> {
  const qmp = await QmpClient.connect(control);
  try {
    await qmp.execute("migrate-set-parameters", { "max-bandwidth": unlimited });
    await qmp.execute("migrate", { uri: `exec:cat >'${file}'` });
    for (;;) {
      const { status } = (await qmp.execute("query-migrate")) as { status?: string };
      if (status === "completed") return;
      if (status === "failed" || status === "cancelled")
        throw new XenoError("xen-lab-not-built", `QEMU does not write dom0's memory: ${status}`);
      await delay(50, undefined, { signal });
    }
  } finally {
    qmp.close();
  }
}

/** 16 hexadecimal digits. */
async function describeInputs(images: LabImages): Promise<string> {
  const { stdout: version } = await execa("qemu-system-x86_64", ["--version"], { env: systemEnvironment });
  const hash = createHash("sha256").update(JSON.stringify([images.disk, images.packages, version, describeHosts()]));
  // This, and what composes a host's devices.
  for (const name of ["booted-dom0.ts", "xen-host.ts"]) hash.update(await readFile(join(import.meta.dirname, name)));
  return hash
    .update(await packInitramfs(images))
    .digest("hex")
    .slice(0, 16);
}
