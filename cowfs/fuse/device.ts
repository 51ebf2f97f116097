/**
 * Reads requests from /dev/fuse on the event loop and has them served, in order.
 *
 * The device can be polled (fuse(4)), but Node has no way to say so: of the kinds of streams that it opens by descriptor, only
 * its pipe does not ask what the descriptor is. A thread that reads the device and hands requests over costs two more
 * switches between threads for each; reads in Node's pool would hold one of its four threads for as long as a mount is idle.
 */
import { once } from "node:events";
import net from "node:net";
import { isMainThread } from "node:worker_threads";
import { maxDataBytes, pageBytes } from "./protocol.ts";
import { Request } from "./request.ts";
import type { Session } from "./session.ts";

interface PipeHandle {
  /** Returns a negative error number where it fails. */
  open(descriptor: number): number;
  close(callback?: () => void): void;
}

interface PipeBinding {
  readonly Pipe: new (type: number) => PipeHandle;
  readonly constants: { readonly SOCKET: number };
}

/** The mount is gone: taken off, or its connection ended while a request was read. */
const gone = ["ENODEV", "ENOENT", "ECONNABORTED"];

/**
 * Settles when the file system was unmounted; rejects when the device cannot be read. From its call on the descriptor is
 * its own to close; the session is closed before, for the number may mean another file a moment later.
 *
 * For main threads only: when another ends, Node closes every number that was opened in it, and does not learn that the
 * handle has closed this one (`trackUnmanagedFds` of worker_threads).
 */
export async function serveDevice(device: number, session: Session): Promise<void> {
  if (!isMainThread) throw new Error("a file system is mounted from the main thread of a process");
  const handle = openHandle(device);
  const close = handle.close.bind(handle);
  handle.close = (callback) => {
    session.close();
    close(callback);
  };
  const buffer = Buffer.from(new ArrayBuffer(maxDataBytes + pageBytes));
  const request = new Request(buffer);
  const callback = () => {
    session.accept(request);
    const { crowded } = session;
    if (crowded === undefined) return true;
    void crowded.then(() => socket.resume());
    return false;
  };
  const options = { handle, onread: { buffer, callback } };
  const socket = new net.Socket(options as unknown as net.SocketConstructorOpts);
  const closed = once(socket, "close");
  await closed.catch((error: NodeJS.ErrnoException) => {
    if (!gone.includes(error.code ?? "")) throw error;
  });
}

function openHandle(device: number): PipeHandle {
  const { binding } = process as unknown as { binding(name: "pipe_wrap"): PipeBinding };
  const { Pipe, constants } = binding.call(process, "pipe_wrap");
  const handle = new Pipe(constants.SOCKET);
  const code = handle.open(device);
  if (code < 0) throw new Error(`Node does not poll the device: error ${-code}`);
  return handle;
}
