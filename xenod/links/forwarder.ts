/**
 * Carries connections from ports of the host's own network to addresses that only a namespace reaches: so a browser on
 * the host opens a guest at 127.0.0.1:PORT, and the host's network gets no address and no route.
 *
 * The sockets are bound here and accepted on by one child inside the namespace, which connects onwards.
 */
import { once } from "node:events";
import { XenoError } from "../../cowfs/errors.ts";
import { forkInside } from "./listener.ts";
import { bindRaw } from "./raw-socket.ts";

export interface Forward {
  /** On the host; 0 takes any. */
  readonly listen: { readonly host: string; readonly port: number };
  /** As the namespace reaches it. */
  readonly target: { readonly host: string; readonly port: number };
}

export interface Forwarder {
  /** The host's ports, in the order of the forwards. */
  readonly ports: readonly number[];
  /** Settles when the child is gone and the ports are free. */
  close(): Promise<void>;
}

/** Settles once every port accepts. Rejects with listen-failed when one is taken; then none stays open. */
export async function forwardPorts(namespace: string, forwards: readonly Forward[]): Promise<Forwarder> {
  const bound: ReturnType<typeof bindRaw>[] = [];
  const release = () => {
    for (const { handle } of bound) handle.close();
  };
  try {
    for (const { listen } of forwards) bound.push(bindRaw(listen.host, listen.port));
  } catch (error) {
    release();
    throw error;
  }
  const child = forkInside(namespace, "forward-connections.ts", []);
  const gone = once(child, "exit").catch(() => []);
  const close = async () => {
    if (child.connected) child.disconnect();
    await gone;
  };
  try {
    const ready = new Promise<void>((resolve, reject) => {
      let waiting = forwards.length;
      child.on("message", () => {
        if (--waiting === 0) resolve();
      });
      const failed = () => reject(new XenoError("forward-failed", `the port forwarder in ${namespace} ended`));
      child.once("exit", failed);
      child.once("error", failed);
    });
    forwards.forEach(({ target }, index) => {
      child.send({ target }, bound[index].handle as never);
    });
    if (forwards.length > 0) await ready;
  } catch (error) {
    await close();
    throw error;
  } finally {
    release();
  }
  return { ports: bound.map(({ port }) => port), close };
}
