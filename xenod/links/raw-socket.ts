/**
 * Binding without listening, which Node has no public call for.
 *
 * `net._createServerHandle` is what node:cluster's primary uses for the same purpose; it is undocumented, so the tests hold
 * it to this behaviour (Node 24).
 */
import net from "node:net";
import { getSystemErrorName } from "node:util";
import { XenoError } from "../../cowfs/errors.ts";
import type { RawListener } from "./listener.ts";

interface BoundHandle extends RawListener {
  getsockname(out: { port?: number }): number;
}

type CreateHandle = (host: string, port: number, family: 4) => BoundHandle | number;

/** Binds an IPv4 address; port 0 takes any. Throws listen-failed. */
export function bindRaw(host: string, port: number): { handle: RawListener; port: number } {
  const create = (net as unknown as { _createServerHandle: CreateHandle })._createServerHandle;
  const handle = create(host, port, 4);
  if (typeof handle === "number") throw refused(host, port, handle);
  const name: { port?: number } = {};
  // libuv keeps EADDRINUSE back until the next call on the socket, which would otherwise be its user's listen().
  const error = handle.getsockname(name);
  if (error !== 0) {
    handle.close();
    throw refused(host, port, error);
  }
  return { handle, port: name.port ?? port };
}

function refused(host: string, port: number, error: number): XenoError {
  return new XenoError("listen-failed", `cannot listen on ${host}:${port}: ${getSystemErrorName(error)}`, {
    hint: "choose another port, or end what holds this one: ss -ltnp",
  });
}
