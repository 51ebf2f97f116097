/**
 * Starts a XenoServer's file server, finds the one that runs, and ends it. It outlives whoever started it.
 *
 * A process is taken for the keeper when the lock file names it and its command line names keeper.ts and this state
 * directory: a reused process id cannot do that by accident.
 */
import { spawn } from "node:child_process";
import { mkdir, open, readFile } from "node:fs/promises";
import { isDeepStrictEqual } from "node:util";
import { XenoError } from "../../cowfs/errors.ts";
import { readStartTime, waitUntilGone } from "../processes.ts";
import { readStateFile, writeStateFile } from "../state-file.ts";
import { FileServerClient } from "./client.ts";
import { countWorkers } from "./count-workers.ts";
import { fileServerFiles } from "./files.ts";
import type { FileServerConfiguration, FileServerStatus } from "./protocol.ts";

const program = new URL("keeper.ts", import.meta.url).pathname;
/** Two programs of a second of processor time each start, perhaps on a host that is just booting. */
const startDeadlineMs = 90_000;
/** The workers get 10 s to close its journals. */
const endDeadlineMs = 15_000;

/** Starts it, or finds it running. Settles once it answers. */
export async function startFileServer(
  stateDirectory: string,
  configuration: Omit<FileServerConfiguration, "format">,
): Promise<FileServerStatus> {
  const files = fileServerFiles(stateDirectory);
  // sun_path of unix(7); the last worker's is the longest.
  const { socket } = fileServerFiles(stateDirectory, countWorkers(configuration) - 1);
  if (Buffer.byteLength(socket) > 107)
    throw new XenoError("path-too-long", `${socket} is too long for a socket`, {
      hint: "choose a shorter $XENO_HOME",
    });
  await mkdir(stateDirectory, { recursive: true, mode: 0o700 });
  // As it is read back: what is undefined is not there.
  const wanted: FileServerConfiguration = JSON.parse(JSON.stringify({ format: 1, ...configuration }));
  const known = await readStateFile<FileServerConfiguration>(files.configuration, 1);
  if (!isDeepStrictEqual(known, wanted)) {
    // The worker reads it when it starts.
    await stopFileServer(stateDirectory);
    await writeStateFile(files.configuration, wanted);
  }
  if ((await findKeeper(stateDirectory)) === undefined) {
    const log = await open(files.log, "a", 0o600);
    const keeper = spawn(process.execPath, ["--no-warnings", program, stateDirectory], {
      detached: true,
      cwd: "/",
      stdio: ["ignore", log.fd, log.fd],
    });
    keeper.on("error", () => {});
    keeper.unref();
    await log.close();
  }
  const client = new FileServerClient(stateDirectory, startDeadlineMs);
  try {
    return await client.status();
  } finally {
    await client.close();
  }
}

export async function findKeeper(stateDirectory: string): Promise<{ pid: number; startTime: string } | undefined> {
  const { lock } = fileServerFiles(stateDirectory);
  const pid = Number.parseInt(await readFile(lock, "latin1").catch(() => ""), 10);
  if (!Number.isInteger(pid) || pid <= 1) return undefined;
  const startTime = await readStartTime(pid);
  const words = (await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")).split("\0");
  const isKeeper = words.includes(program) && words.includes(stateDirectory);
  return startTime !== undefined && isKeeper ? { pid, startTime } : undefined;
}

/** Ends keeper and workers; journals are closed cleanly where a worker still can. The exports' files stay. */
export async function stopFileServer(stateDirectory: string): Promise<void> {
  const keeper = await findKeeper(stateDirectory);
  if (keeper === undefined) return;
  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    try {
      process.kill(keeper.pid, signal);
    } catch {}
    if (await waitUntilGone(keeper.pid, keeper.startTime, endDeadlineMs)) return;
  }
  throw new XenoError("file-server-undead", `the file server (process ${keeper.pid}) does not end`);
}
