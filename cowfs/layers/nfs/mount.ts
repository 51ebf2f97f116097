/** From an NFS server's address and a path to a file handle: portmapper (RFC 1833), MOUNT v3 (RFC 1813 appendix I). */
import { XenoError } from "../../errors.ts";
import type { Name } from "../../file-system.ts";
import { RpcClient } from "../../nfs/rpc/client.ts";
import { findPort } from "../../nfs/rpc/find-port.ts";
import { maxHandleBytes } from "./attributes.ts";

export interface NfsPlace {
  /** For messages. */
  readonly host: string;
  /** What the host's name was resolved to. */
  readonly address: string;
  /** On the server, from its root; bytes, one per char. */
  readonly path: string;
  /** Where absent, the portmapper on port 111 is asked. */
  readonly nfsPort?: number;
  readonly mountPort?: number;
  readonly isWritable: boolean;
}

const nfsProgram = 100003;
const mountProgram = 100005;

export async function connectNfs({ address, nfsPort }: NfsPlace): Promise<RpcClient> {
  const port = nfsPort ?? (await findPort({ address, program: nfsProgram, version: 3 }));
  return new RpcClient({ address, port, program: nfsProgram, version: 3 });
}

/** The handle of the longest part of the path that the server exports, and the names that are left to walk. */
export async function mountPath(place: NfsPlace): Promise<{ handle: string; rest: Name[] }> {
  const { address, path, mountPort } = place;
  const port = mountPort ?? (await findPort({ address, program: mountProgram, version: 3 }));
  const client = new RpcClient({ address, port, program: mountProgram, version: 3 });
  try {
    const names = path.split("/").filter((name) => name !== "");
    let status = 0;
    for (let length = names.length; length >= 0; length--) {
      const reply = await client.call(1, (writer) => writer.writeString(`/${names.slice(0, length).join("/")}`));
      status = reply.readUint32();
      if (status === 0) return { handle: reply.readString(maxHandleBytes), rest: names.slice(length) };
    }
    throw new XenoError("layer-unusable", `${place.host} does not let ${path} be mounted (MOUNT status ${status})`, {
      hint: "See the server's exports: it must allow this host, and NFSv3 over TCP.",
    });
  } finally {
    client.close();
  }
}
