/**
 * Removes what an owner left behind that died before it could clean up.
 *
 * Every name an instance makes begins with its prefix (`xeno-` and an id of its own). Before the first is made, the owner is
 * recorded in a file: its process and when that started, so that a reused process id is not taken for it.
 */
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { readBootId, readStartTime, waitUntilGone } from "../processes.ts";
import { deleteNamespace, listNamespaces, listProcesses } from "./namespaces.ts";

interface OwnerRecord {
  readonly format: 1;
  readonly prefix: string;
  readonly process: number;
  /** Field 22 of /proc/PID/stat: clock ticks since the host's boot. */
  readonly startTime: string;
  readonly bootId: string;
}

const recordsDirectory = "/run/xeno/links";

/** Records this process as the owner of a prefix. Before anything of that prefix is made. */
export async function claimPrefix(prefix: string, directory = recordsDirectory): Promise<void> {
  const record: OwnerRecord = {
    format: 1,
    prefix,
    process: process.pid,
    startTime: (await readStartTime(process.pid))!,
    bootId: await readBootId(),
  };
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const file = join(directory, `${prefix}.json`);
  await writeFile(`${file}.tmp`, JSON.stringify(record));
  await rename(`${file}.tmp`, file);
}

/** Removes everything of a prefix: the processes in its namespaces, the namespaces, and the record of its owner. */
export async function sweepLinks(prefix: string, directory = recordsDirectory): Promise<string[]> {
  const namespaces = await listNamespaces(prefix);
  for (const namespace of namespaces) await endProcesses(namespace);
  for (const namespace of namespaces) await deleteNamespace(namespace);
  await rm(join(directory, `${prefix}.json`), { force: true });
  return namespaces;
}

/** Sweeps every prefix whose owner is dead; returns the namespaces that were removed. */
export async function sweepAbandoned(directory = recordsDirectory): Promise<string[]> {
  const files = (await readdir(directory).catch(() => [])).filter((name) => name.endsWith(".json"));
  const removed: string[] = [];
  for (const file of files) {
    const prefix = file.slice(0, -".json".length);
    if (!(await isOwned(join(directory, file)))) removed.push(...(await sweepLinks(prefix, directory)));
  }
  return removed;
}

/** A record is written whole or not at all, so one that cannot be read is of nobody who lives. */
async function isOwned(file: string): Promise<boolean> {
  const record: OwnerRecord | undefined = await readFile(file, "utf8")
    .then(JSON.parse)
    .catch(() => undefined);
  if (record === undefined || record.bootId !== (await readBootId())) return false;
  return (await readStartTime(record.process)) === record.startTime;
}

/** Whoever is in one of our namespaces is a guest, listener or forwarder that we started there. */
async function endProcesses(namespace: string): Promise<void> {
  for (const pid of await listProcesses(namespace)) {
    const startTime = await readStartTime(pid);
    if (startTime === undefined || pid === process.pid) continue;
    try {
      process.kill(pid, "SIGKILL");
    } catch {}
    await waitUntilGone(pid, startTime, 5_000);
  }
}
