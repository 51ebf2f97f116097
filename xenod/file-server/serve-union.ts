/** One export in this process, for `xeno serve`: the same as a guest's, on an address of the host's own network. */
import net from "node:net";
import { XenoError } from "../../cowfs/errors.ts";
import type { NfsExport } from "../../cowfs/nfs/export.ts";
import { createTellGranted } from "../../cowfs/nfs/locks/tell-granted.ts";
import type { ResolveLayer } from "../../cowfs/union/stack.ts";
import { openExport } from "./open-export.ts";

export interface UnionServing {
  readonly url: string;
  /** The journal's directory; made when it is missing. */
  readonly journal: string;
  readonly resolve: ResolveLayer;
  /** Port 0 takes any. */
  readonly listen: { readonly host: string; readonly port: number };
  /** Default true: calls from ports from 1024 up are refused. */
  readonly requirePrivilegedPort?: boolean;
  /** As in cowfs/nfs/export.ts. */
  readonly jukeboxMs?: number;
  readonly ioErrorAfterMs?: number;
  readonly unsafeAsync?: boolean;
  readonly signal: AbortSignal;
  onTrouble?(what: string, error: unknown): void;
}

export interface ServedUnion {
  readonly port: number;
  readonly exported: NfsExport;
  /** Settles, with why, when the file system has failed; what was acknowledged is in the journal. */
  readonly failed: Promise<unknown>;
  close(): Promise<void>;
}

/** Settles once it accepts connections. Rejects with `listen-failed`, or with what opening the union rejects with. */
export async function serveUnion(serving: UnionServing): Promise<ServedUnion> {
  const { promise: failed, resolve: fail } = Promise.withResolvers<unknown>();
  const tellGranted = createTellGranted();
  const opened = await openExport({ ...serving, tellGranted, bootEpoch: 0, onFailed: fail });
  const server = net.createServer({ noDelay: true });
  opened.exported.serve(server);
  const { host, port } = serving.listen;
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, host, resolve);
    });
  } catch (cause) {
    await opened.close();
    throw new XenoError("listen-failed", `cannot listen on ${host}:${port}: ${(cause as Error).message}`, {
      hint: "choose another port, or end what holds this one",
      cause,
    });
  }
  return {
    port: (server.address() as net.AddressInfo).port,
    exported: opened.exported,
    failed,
    async close() {
      server.close();
      await opened.close();
    },
  };
}
