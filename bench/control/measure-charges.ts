/**
 * Charges a second: each over HTTP, its proof and credential verified, its transfer on stable storage before the reply. The
 * requests are signed beforehand, so that the clients' keys cost nothing while it is measured; each charge is of its own id.
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs/promises";
import { createServer } from "node:net";
import path from "node:path";
import { Pool } from "undici";
import { CorporationClient } from "../../control/corporation/client.ts";
import { proveRequest } from "../../control/credentials/proof.ts";
import { spendOrder } from "../../control/orders/order.ts";
import { createKey, type SigningKey } from "../../xenostore/keys/key-ring.ts";

export interface ChargesMeasured {
  readonly charges: number;
  readonly perSecond: number;
  /** Of the XenoCorp's process, for each charge. */
  readonly serverMicroseconds: number;
  /** One synced write after the other to the same disk: what charges that do not share a sync could reach at most. */
  readonly syncsPerSecond: number;
}

const connections = 64;
/** A proof is good for a minute: so many are signed in a few seconds, and sent. */
const batch = 1000;

/** Rejects with what the signal says. `onProgress` is told how many were made. */
export async function measureCharges(
  parent: string,
  charges: number,
  { signal, onProgress }: { readonly signal: AbortSignal; onProgress(made: number): void },
): Promise<ChargesMeasured> {
  const directory = await fs.mkdtemp(path.join(parent, "xeno-bench-control-"));
  const port = await choosePort();
  const address = `http://127.0.0.1:${port}`;
  const [, clientKey, serverKey] = await Promise.all(
    ["corporation", "client", "server"].map((name) => createKey(directory, name)),
  );
  const program = new URL("corporation-process.ts", import.meta.url);
  const child = fork(program, [directory, String(port)], { execArgv: ["--no-warnings"] });
  try {
    await once(child, "message", { signal });
    const order = await prepareOrder(address, clientKey!, serverKey!, charges, async (holder) => {
      child.send({ holder, amount: charges });
      await once(child, "message", { signal });
    });
    let seconds = 0;
    let cpu = 0;
    for (let first = 0; first < charges; first += batch) {
      onProgress(first);
      const requests = await signCharges(address, order, serverKey!, first, Math.min(batch, charges - first));
      const before = await readCpu(child.pid!);
      const started = performance.now();
      await sendAll(address, requests, signal);
      seconds += (performance.now() - started) / 1000;
      cpu += (await readCpu(child.pid!)) - before;
    }
    const syncsPerSecond = await measureSyncs(directory);
    return { charges, perSecond: charges / seconds, serverMicroseconds: (cpu * 1e6) / charges, syncsPerSecond };
  } finally {
    child.kill("SIGKILL");
    await fs.rm(directory, { recursive: true });
  }
}

interface PreparedOrder {
  readonly id: string;
  readonly credential: string;
}

async function prepareOrder(
  address: string,
  clientKey: SigningKey,
  serverKey: SigningKey,
  amount: number,
  payIn: (holder: string) => Promise<void>,
): Promise<PreparedOrder> {
  const client = await new CorporationClient(address, clientKey).register("client", "client");
  const server = await new CorporationClient(address, serverKey).register("server", "server");
  await payIn(client.holder);
  const asking = new CorporationClient(address, clientKey, client.credential);
  const texts = await asking.createOrder({ id: "bench", amount, validMs: 3_600_000 });
  const presented = await spendOrder(texts, { server: server.holder }, clientKey);
  const validating = new CorporationClient(address, serverKey, server.credential);
  return { id: (await validating.validate(presented, "bench")).order, credential: server.credential };
}

interface Signed {
  readonly body: string;
  readonly headers: Record<string, string>;
}

async function signCharges(
  address: string,
  { id, credential }: PreparedOrder,
  key: SigningKey,
  first: number,
  count: number,
): Promise<Signed[]> {
  const requests: Signed[] = [];
  for (let charge = first; charge < first + count; charge++) {
    const body = JSON.stringify({
      id: `${charge}`,
      order: id,
      amount: 1,
      used: { cpuMs: 150, memoryMiBs: 256, charge },
    });
    const proof = { method: "POST", address: `${address}/v1/charges`, body, credential };
    const dpop = await proveRequest(proof, key, Date.now());
    requests.push({ body, headers: { dpop, authorization: `DPoP ${credential}`, "content-type": "application/json" } });
  }
  return requests;
}

async function sendAll(address: string, requests: readonly Signed[], signal: AbortSignal): Promise<void> {
  const pool = new Pool(address, { connections });
  let next = 0;
  const send = async () => {
    while (next < requests.length && !signal.aborted) {
      const { statusCode, body } = await pool.request({ path: "/v1/charges", method: "POST", ...requests[next++]! });
      const answer = await body.text();
      if (statusCode !== 200) throw new Error(`a charge was answered ${statusCode}: ${answer}`);
    }
  };
  await Promise.all(Array.from({ length: connections }, send));
  await pool.close();
  signal.throwIfAborted();
}

async function measureSyncs(directory: string): Promise<number> {
  const file = await fs.open(path.join(directory, "sync"), "w");
  const started = performance.now();
  let syncs = 0;
  for (; performance.now() - started < 1000; syncs++) {
    await file.write(Buffer.alloc(4096), 0, 4096, 0);
    await file.datasync();
  }
  const seconds = (performance.now() - started) / 1000;
  await file.close();
  return syncs / seconds;
}

/** Seconds of processor time; the clock of /proc/PID/stat ticks 100 times a second. */
async function readCpu(process: number): Promise<number> {
  const fields = (await fs.readFile(`/proc/${process}/stat`, "utf8")).replace(/^.*\) /, "").split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

async function choosePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}
