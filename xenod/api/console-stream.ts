/**
 * A domain's console over the API: `GET /v1/domains/NAME/console` with `Upgrade: xeno-console` (RFC 9110 section 7.8). After the
 * 101 the connection carries the guest's serial line, bytes both ways, until either side ends it.
 */
import type { IncomingMessage } from "node:http";
import { type Duplex, pipeline } from "node:stream";
import { XenoError } from "../../cowfs/errors.ts";
import type { XenoServer } from "../daemon/xeno-server.ts";
import { describeError, statusOf } from "../http/json-server.ts";
import { consoleProtocol } from "./schemas.ts";

const consolePath = /^\/v1\/domains\/([a-z0-9-]{1,40})\/console$/;

export async function upgradeToConsole(server: XenoServer, request: IncomingMessage, socket: Duplex): Promise<void> {
  socket.on("error", () => socket.destroy());
  const name = consolePath.exec(request.url ?? "")?.[1];
  if (name === undefined || request.headers.upgrade !== consoleProtocol)
    return refuse(socket, new XenoError("route-unknown", `there is no stream at ${request.url}`));
  try {
    const console = await server.openConsole(name);
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${consoleProtocol}\r\n\r\n`);
    pipeline(socket, console, () => {});
    pipeline(console, socket, () => {});
  } catch (error) {
    refuse(socket, error);
  }
}

function refuse(socket: Duplex, error: unknown): void {
  const text = JSON.stringify(describeError(error));
  const headers = `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(text)}\r\nConnection: close`;
  socket.end(`HTTP/1.1 ${statusOf(error)} Refused\r\n${headers}\r\n\r\n${text}`);
}
