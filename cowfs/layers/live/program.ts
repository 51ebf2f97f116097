/** Program: serves the files of one live layer to the process that forked it, and ends with it. */
import { FileSystemError, XenoError } from "../../errors.ts";
import { openHostDirectory } from "../host/host-directory.ts";
import { openNfsFiles } from "../nfs/nfs-files.ts";
import type { LiveFiles } from "./live-files.ts";
import type { LiveAnswer, LiveCall, LiveFailure, LiveOpening } from "./protocol.ts";

process.on("disconnect", () => process.exit(0));
const opening = JSON.parse(process.argv[2]) as LiveOpening;
/** Opened with the first call that needs it, and again after it could not be. */
let files: Promise<LiveFiles> | undefined;

function open(): Promise<LiveFiles> {
  files ??= (opening.kind === "directory" ? openHostDirectory(opening) : openNfsFiles(opening)).catch((error) => {
    files = undefined;
    throw error;
  });
  return files;
}

process.on("message", async ({ id, method, args }: LiveCall) => {
  const signal = new AbortController().signal;
  let answer: LiveAnswer;
  try {
    const opened = (await open()) as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>;
    answer = { id, result: await opened[method](...args, signal) };
  } catch (error) {
    answer = { id, failure: describe(error) };
  }
  if (process.connected) process.send?.(answer);
});

process.send?.("ready");

function describe(error: unknown): LiveFailure {
  if (error instanceof FileSystemError) return { errno: error.code, code: error.code, message: error.message };
  if (error instanceof XenoError) return { code: error.code, message: error.message };
  return { code: "layer-failed", message: String((error as Error).stack ?? error) };
}
