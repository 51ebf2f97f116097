/** Program: binds argv's host and port and hands the socket to its parent. See listener.ts. */
import { bindRaw } from "./raw-socket.ts";

const [host, port] = process.argv.slice(2);
const send = process.send!.bind(process) as (message: unknown, handle?: unknown) => boolean;
try {
  // The channel keeps this process until the parent, having the socket, closes it.
  send({}, bindRaw(host, Number(port)).handle);
  process.on("disconnect", () => process.exit(0));
} catch (error) {
  send({ error: (error as Error).message });
}
