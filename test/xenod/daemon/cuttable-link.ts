/** A way to a server that can be cut: connections to it break, and new ones are refused, until it is mended. */
import { once } from "node:events";
import net from "node:net";

export interface CuttableLink {
  readonly port: number;
  cut(): void;
  mend(): void;
  close(): void;
}

/** On 127.0.0.1. */
export async function openCuttableLink(to: { readonly host: string; readonly port: number }): Promise<CuttableLink> {
  const open = new Set<net.Socket>();
  let isCut = false;
  const keep = (socket: net.Socket) => {
    open.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => open.delete(socket));
  };
  const server = net.createServer((inner) => {
    keep(inner);
    if (isCut) return inner.resetAndDestroy();
    const outer = net.connect(to);
    keep(outer);
    inner.pipe(outer).pipe(inner);
    inner.on("close", () => outer.destroy());
    outer.on("close", () => inner.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const cut = () => {
    isCut = true;
    for (const socket of open) socket.resetAndDestroy();
  };
  return {
    port: (server.address() as net.AddressInfo).port,
    cut,
    mend() {
      isCut = false;
    },
    close() {
      cut();
      server.close();
    },
  };
}
