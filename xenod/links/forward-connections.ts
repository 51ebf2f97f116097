/**
 * Program: accepts on the sockets that its parent sends and pipes each connection to the target sent along. Ends when the
 * parent closes the channel or dies. See forwarder.ts.
 */
import { connect, createServer, type Socket } from "node:net";

/** Per port; further ones are closed at once. */
const maxConnections = 512;
const connectTimeoutMs = 10_000;

process.on("message", ({ target }: { target: { host: string; port: number } }, handle: unknown) => {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (from) => forward(from, target));
  server.maxConnections = maxConnections;
  server.listen(handle as never, () => process.send!("listening"));
});
process.on("disconnect", () => process.exit(0));

function forward(from: Socket, target: { host: string; port: number }): void {
  const to = connect({ ...target, allowHalfOpen: true });
  const end = () => {
    from.destroy();
    to.destroy();
  };
  to.setTimeout(connectTimeoutMs, end);
  to.once("connect", () => {
    to.setTimeout(0);
    from.pipe(to);
    to.pipe(from);
  });
  for (const socket of [from, to]) {
    socket.setNoDelay(true);
    socket.on("error", end);
    socket.on("close", (failed) => failed && end());
  }
}
