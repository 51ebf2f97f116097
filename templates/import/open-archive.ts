/**
 * Opens an archive for reading. A pipe is read by the event loop: a thread that waits in read(2) for more of it cannot be
 * called off, and Node waits for its threads when it exits. (Until somebody writes to it, a named pipe's open(2) waits so.)
 */
import fs from "node:fs";
import { Socket } from "node:net";
import { addAbortSignal, type Readable } from "node:stream";
import { promisify } from "node:util";

const open = promisify(fs.open);

/** Its bytes, until `signal` aborts. Rejects with what open(2) says. */
export async function openArchive(file: string, signal: AbortSignal | undefined): Promise<Readable> {
  const descriptor = await open(file, "r");
  const isPipe = fs.fstatSync(descriptor).isFIFO();
  const stream = isPipe
    ? new Socket({ fd: descriptor, writable: false })
    : fs.createReadStream(file, { fd: descriptor });
  return signal === undefined ? stream : addAbortSignal(signal, stream);
}
