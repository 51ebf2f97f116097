/**
 * Connections that stop being HTTP (RFC 9110 section 7.8). After the 101 they carry bytes, until either side ends them:
 * `GET /v1/domains/NAME/console` with `Upgrade: xeno-console` the guest's serial line, both ways;
 * `GET /v1/peers/SERVER/receptions/MIGRATION/memory` with `Upgrade: xeno-memory` a guest's memory, to here.
 */
import type { IncomingMessage } from "node:http";
import { type Duplex, pipeline } from "node:stream";
import { XenoError } from "../../cowfs/errors.ts";
import type { XenoServer } from "../daemon/xeno-server.ts";
import { describeError, statusOf } from "../http/json-server.ts";
import { memoryProtocol } from "../migration/peers/messages.ts";
import { consoleProtocol } from "./schemas.ts";

const consolePath = /^\/v1\/domains\/([a-z0-9-]{1,40})\/console$/;
const memoryPath = /^\/v1\/peers\/([a-z0-9-]{1,40})\/receptions\/([0-9a-f-]{36})\/memory$/;

export async function upgradeToStream(server: XenoServer, request: IncomingMessage, socket: Duplex): Promise<void> {
  socket.on("error", () => socket.destroy());
  const { url = "", headers } = request;
  const name = consolePath.exec(url)?.[1];
  const [, from, migration] = memoryPath.exec(url) ?? [];
  try {
    if (name !== undefined && headers.upgrade === consoleProtocol) {
      const console = await server.openConsole(name);
      accept(socket, consoleProtocol);
      pipeline(socket, console, () => {});
      pipeline(console, socket, () => {});
    } else if (from !== undefined && headers.upgrade === memoryProtocol) {
      await server.receptions.receiver.receiveMemory(from, migration!, () => accept(socket, memoryProtocol));
    } else throw new XenoError("route-unknown", `there is no stream at ${url}`);
  } catch (error) {
    refuse(socket, error);
  }
}

function accept(socket: Duplex, protocol: string): Duplex {
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n`);
  return socket;
}

function refuse(socket: Duplex, error: unknown): void {
  const text = JSON.stringify(describeError(error));
  const headers = `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(text)}\r\nConnection: close`;
  socket.end(`HTTP/1.1 ${statusOf(error)} Refused\r\n${headers}\r\n\r\n${text}`);
}
