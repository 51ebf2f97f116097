import { rmSync } from "node:fs";
import { join } from "node:path";
import type { FastifyInstance } from "fastify";
import { createCorporationApi } from "../../../control/corporation/api.ts";
import { CorporationClient } from "../../../control/corporation/client.ts";
import { Corporation, type CorporationOptions } from "../../../control/corporation/corporation.ts";
import type { Role } from "../../../control/credentials/credential.ts";
import { choosePort } from "../../../control/network/choose-port.ts";
import type { SigningKey } from "../../../xenostore/keys/key-ring.ts";
import { makeFastDirectory } from "../../cowfs/fast-directory.ts";
import { makeKey } from "../credentials/make-key.ts";

export interface Running {
  readonly address: string;
  readonly corporation: Corporation;
  readonly api: FastifyInstance;
  readonly defects: unknown[];
}

export interface Holder {
  readonly holder: string;
  readonly credential: string;
  readonly key: SigningKey;
  readonly client: CorporationClient;
}

/** A XenoCorp that listens on a port of 127.0.0.1, until `run` is done. */
export async function withCorporation(
  run: (running: Running) => Promise<void>,
  options: Partial<CorporationOptions> = {},
): Promise<void> {
  const directory = makeFastDirectory();
  const key = await makeKey("corp");
  const defects: unknown[] = [];
  const port = await choosePort();
  const address = `http://127.0.0.1:${port}`;
  const corporation = await Corporation.open({
    name: address,
    key,
    databaseFile: join(directory, "corporation.sqlite"),
    currency: "EUR",
    showsNames: false,
    settlementMs: 1000,
    ...options,
  });
  const api = createCorporationApi(corporation, (error) => defects.push(error));
  try {
    await api.listen({ host: "127.0.0.1", port });
    await run({ address, corporation, api, defects });
  } finally {
    await api.close();
    await corporation.end();
    rmSync(directory, { recursive: true });
  }
}

export async function registerHolder({ address }: Running, role: Role, name = "somebody"): Promise<Holder> {
  const key = await makeKey(name);
  const registered = await new CorporationClient(address, key).register(role, name, { contact: `${name}@example` });
  return { ...registered, key, client: new CorporationClient(address, key, registered.credential) };
}
