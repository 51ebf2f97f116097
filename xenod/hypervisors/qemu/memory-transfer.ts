/**
 * A guest's memory and device state out of a QEMU: to a file where the guest is paused, to another host where it runs.
 *
 * QEMU writes its migration stream (docs/devel/migration.rst in QEMU) to a unix socket in its own root directory, which is
 * otherwise empty; nobody but root and this QEMU's user gets there. From the socket we copy it on, so the stream may go
 * anywhere and be hashed or throttled on the way. Pages of zeros are nine bytes in it.
 */
import { once } from "node:events";
import { chmod, rm } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import type { Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as delay } from "node:timers/promises";
import { XenoError } from "../../../cowfs/errors.ts";
import type { OutgoingMigration } from "../hypervisor.ts";
import { domainFiles } from "./command-line.ts";

export type Execute = (command: string, options?: Record<string, unknown>) => Promise<unknown>;

/** Of MigrationStatus (qapi/migration.json), where it goes on no more. */
const endStates = new Set(["completed", "failed", "cancelled"]);
const pollMs = 5;
const connectDeadlineMs = 10_000;
const cancelDeadlineMs = 30_000;
/** Bytes per second: what takes the stream sets the pace. */
const unlimited = 2 ** 40;
/** A guest is stopped for the rest once that takes no longer than this. */
const downtimeMs = 100;

interface MigrationStatus {
  readonly status?: string;
  readonly "error-desc"?: string;
}

export interface TransferOptions {
  readonly isLive: boolean;
  readonly signal: AbortSignal;
  /** Of a guest that is to stand still for all of it: called when everything else is ready. Default: it does already. */
  stop?(): Promise<void>;
}

/** Rejects where QEMU does not begin; then everything is as before. */
export async function beginTransfer(
  name: string,
  directory: string,
  execute: Execute,
  to: Writable,
  { isLive, signal, stop = async () => {} }: TransferOptions,
): Promise<OutgoingMigration> {
  const socket = await connectQemu(directory, execute, isLive, stop, signal);
  const sent = pipeline(socket, to, { signal });
  // Looked at when QEMU has ended.
  sent.catch(() => {});
  const waitFor = async (isWanted: (status: string) => boolean) => {
    for (;;) {
      const { status = "none", "error-desc": reason } = (await execute("query-migrate")) as MigrationStatus;
      if (isWanted(status)) return;
      if (endStates.has(status)) {
        socket.destroy();
        await sent;
        throw new XenoError("save-failed", `domain ${name}: QEMU ended its memory's transfer: ${reason ?? status}`, {
          hint: "the guest goes on here; see qemu.log in the domain's directory",
        });
      }
      // The stream's end broke: QEMU notices at its next write only.
      if (socket.destroyed && !socket.readableEnded) await sent;
      await delay(pollMs);
    }
  };
  const cancel = async () => {
    await execute("migrate_cancel");
    socket.destroy();
    const end = performance.now() + cancelDeadlineMs;
    for (;;) {
      const { status = "none" } = (await execute("query-migrate")) as MigrationStatus;
      if (endStates.has(status) || performance.now() > end) return;
      await delay(pollMs);
    }
  };
  /** (H4) */
  const orCancel = async (act: () => Promise<void>) => {
    try {
      await act();
    } catch (error) {
      await cancel();
      signal.throwIfAborted();
      throw error;
    }
  };
  return {
    stopped: () => orCancel(() => waitFor((status) => status === "pre-switchover")),
    finish: () =>
      orCancel(async () => {
        if (isLive) {
          await waitFor((status) => status === "pre-switchover");
          await execute("migrate-continue", { state: "pre-switchover" });
        }
        await waitFor((status) => status === "completed");
        await sent;
      }),
    cancel,
  };
}

/** Of a transfer that a Xenod began which has died: nobody takes its stream, and one that has stopped its guest waits for ever (H4). */
export async function callOffTransfer(execute: Execute): Promise<void> {
  const { status: run } = (await execute("query-status")) as { status: string };
  // This end receives; whoever finds it so ends it.
  if (run === "inmigrate") return;
  const readStatus = async () => ((await execute("query-migrate")) as MigrationStatus).status;
  const before = await readStatus();
  if (before === undefined || before === "none" || endStates.has(before)) return;
  await execute("migrate_cancel");
  const end = performance.now() + cancelDeadlineMs;
  while (!endStates.has((await readStatus()) ?? "") && performance.now() < end) await delay(pollMs);
}

async function connectQemu(
  directory: string,
  execute: Execute,
  isLive: boolean,
  stop: () => Promise<void>,
  signal: AbortSignal,
): Promise<Socket> {
  const path = join(domainFiles(directory).emptyRoot, "memory.sock");
  await rm(path, { force: true });
  const server = createServer({ pauseOnConnect: true });
  try {
    server.listen(path);
    await once(server, "listening", { signal });
    await chmod(path, 0o666);
    const pause = { capability: "pause-before-switchover", state: isLive };
    await execute("migrate-set-capabilities", { capabilities: [pause] });
    await execute("migrate-set-parameters", { "max-bandwidth": unlimited, "downtime-limit": downtimeMs });
    await stop();
    const within = AbortSignal.any([signal, AbortSignal.timeout(connectDeadlineMs)]);
    const connected = once(server, "connection", { signal: within });
    connected.catch(() => {});
    await execute("migrate", { uri: "unix:/memory.sock" });
    const [socket] = (await connected) as [Socket];
    return socket;
  } finally {
    server.close();
    await rm(path, { force: true });
  }
}
