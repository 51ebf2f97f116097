/**
 * The thread behind `wire-file-system.ts`: each session is a union over a journal, exported on a loopback port, and a
 * client of it. One message is one call; its answer is posted, and then the waiting thread is woken.
 */
import fs from "node:fs";
import net from "node:net";
import { type MessagePort, workerData } from "node:worker_threads";
import { exportFileSystem } from "../../../cowfs/nfs/export.ts";
import { openUnion } from "../../../cowfs/union/union.ts";
import { makeFastDirectory } from "../fast-directory.ts";
import { directory, resolveFrom } from "../union/layers.ts";
import { type Client, type Credential, connect } from "./client.ts";
import { mount } from "./fixture.ts";

export type WireMessage =
  | { readonly kind: "open" }
  | {
      readonly kind: "call";
      readonly session: number;
      readonly procedure: number;
      readonly args: Uint8Array;
      readonly as: Credential;
    }
  | { readonly kind: "close"; readonly session: number };

export interface WireAnswer {
  /** A session's number, or none. */
  readonly session?: number;
  /** The root's handle, or a call's results. */
  readonly bytes?: Uint8Array;
  readonly error?: string;
}

interface Session {
  readonly client: Client;
  close(): Promise<void>;
}

const { port, bell } = workerData as { port: MessagePort; bell: Int32Array };
const sessions = new Map<number, Session>();
let opened = 0;

port.on("message", (message: WireMessage) => {
  answer(message)
    .catch((error: unknown): WireAnswer => ({ error: String(error) }))
    .then((answered) => {
      port.postMessage(answered);
      Atomics.store(bell, 0, 1);
      Atomics.notify(bell, 0);
    });
});

async function answer(message: WireMessage): Promise<WireAnswer> {
  if (message.kind === "open") return await open();
  const session = sessions.get(message.session);
  if (session === undefined) throw new Error(`no session ${message.session}`);
  if (message.kind === "close") {
    sessions.delete(message.session);
    await session.close();
    return {};
  }
  const { client } = session;
  const results = await client.call(message.procedure, Buffer.from(message.args), { as: message.as });
  client.records.length = 0;
  return { bytes: results.raw(results.left) };
}

async function open(): Promise<WireAnswer> {
  const journal = makeFastDirectory();
  const signal = AbortSignal.timeout(600_000);
  const resolve = resolveFrom({ "test://empty": directory({}) });
  const union = await openUnion({ journal, base: "test://empty", resolve, signal });
  const exported = exportFileSystem({ fileSystem: union, bootEpoch: 1, requirePrivilegedPort: false });
  const server = net.createServer();
  exported.serve(server);
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const client = await connect((server.address() as net.AddressInfo).port);
  const session = ++opened;
  const close = async () => {
    client.close();
    exported.close();
    await new Promise((closed) => server.close(closed));
    await union.close();
    fs.rmSync(journal, { recursive: true, force: true });
  };
  sessions.set(session, { client, close });
  return { session, bytes: await mount(client) };
}
