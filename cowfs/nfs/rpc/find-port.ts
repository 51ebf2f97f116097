/** Where a program listens, as the portmapper of its host says (RFC 1833 section 3, version 2). */
import { XenoError } from "../../errors.ts";
import { RpcClient } from "./client.ts";

export const portmapPort = 111;
const protocolTcp = 6;

export interface WantedProgram {
  readonly address: string;
  readonly program: number;
  readonly version: number;
  /** Where the portmapper listens. Default 111. */
  readonly portmapPort?: number;
  /** Gives up the question. */
  readonly signal?: AbortSignal;
}

/** Its TCP port. Rejects with `layer-unreachable`, `layer-protocol` or `layer-unusable`. */
export async function findPort({ address, program, version, signal, ...wanted }: WantedProgram): Promise<number> {
  const target = { address, port: wanted.portmapPort ?? portmapPort, program: 100000, version: 2 };
  const client = new RpcClient(target, signal);
  try {
    const reply = await client.call(3, (writer) => {
      for (const word of [program, version, protocolTcp, 0]) writer.writeUint32(word);
    });
    const port = reply.readUint32();
    if (port > 0 && port < 65536) return port;
    throw new XenoError("layer-unusable", `${address} has no program ${program} version ${version} over TCP`);
  } finally {
    client.close();
  }
}
