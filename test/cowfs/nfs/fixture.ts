/** An export of the reference model on a loopback port, and a client of it; all gone when the test ends. */
import net from "node:net";
import type { ExecutionContext } from "ava";
import type { FileSystem } from "../../../cowfs/file-system.ts";
import { type ExportOptions, exportFileSystem, type NfsExport } from "../../../cowfs/nfs/export.ts";
import { createModel, type ModelOptions } from "../model/model.ts";
import { type Client, connect, nfs } from "./client.ts";
import { encode } from "./encoder.ts";
import { attributes, readNewObject } from "./results.ts";

export interface Served {
  readonly fileSystem: FileSystem;
  readonly exported: NfsExport;
  readonly port: number;
  connect(options?: { localPort?: number }): Promise<Client>;
}

export interface Fixture extends Served {
  readonly client: Client;
  /** The root's handle, from MNT. */
  readonly root: Buffer;
}

export interface FixtureOptions extends Partial<ExportOptions> {
  readonly model?: ModelOptions;
}

export async function serveExport(t: ExecutionContext, options: FixtureOptions = {}): Promise<Served> {
  const fileSystem = options.fileSystem ?? createModel(options.model);
  const exported = exportFileSystem({
    bootEpoch: 1,
    requirePrivilegedPort: false,
    onInternalError: (what, error) => t.fail(`${what}: ${error}`),
    ...options,
    fileSystem,
  });
  const server = net.createServer();
  exported.serve(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as net.AddressInfo;
  const clients: Client[] = [];
  t.teardown(async () => {
    exported.close();
    for (const client of clients) client.close();
    await new Promise((resolve) => server.close(resolve));
  });
  return {
    fileSystem,
    exported,
    port,
    connect: async (from) => {
      const client = await connect(port, from);
      clients.push(client);
      return client;
    },
  };
}

export async function serveModel(t: ExecutionContext, options: FixtureOptions = {}): Promise<Fixture> {
  const served = await serveExport(t, options);
  const client = await served.connect();
  return { ...served, client, root: await mount(client, options.exportPath) };
}

/** MNT; returns the directory's handle. */
export async function mount(client: Client, path = "/"): Promise<Buffer> {
  const results = await client.call(1, encode().string(path), { program: 100005 });
  const status = results.u32();
  if (status !== 0) throw new Error(`MNT says ${status}`);
  return results.opaque();
}

export async function makeFile(client: Client, directory: Buffer, name: string, content = ""): Promise<Buffer> {
  const args = encode()
    .opaque(directory)
    .string(name)
    .u32(0)
    .raw(attributes({ mode: 0o644 }));
  const { handle } = readNewObject(await client.call(nfs.create, args));
  if (content !== "") {
    const data = Buffer.from(content, "latin1");
    const status = (
      await client.call(nfs.write, encode().opaque(handle).u64(0).u32(data.length).u32(2).opaque(data))
    ).u32();
    if (status !== 0) throw new Error(`WRITE says ${status}`);
  }
  return handle;
}
