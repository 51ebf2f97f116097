import test from "ava";
import type { FastifyInstance } from "fastify";
import { CompactSign } from "jose";
import { describePublicKey } from "../../../control/credentials/public-key.ts";
import { signAdvertisement, type Tokens } from "../../../control/information/advertisement.ts";
import { createInformationApi } from "../../../control/information/api.ts";
import { InformationClient } from "../../../control/information/client.ts";
import { InformationNode } from "../../../control/information/node.ts";
import type { SigningKey } from "../../../xenostore/keys/key-ring.ts";
import { makeKey } from "../credentials/make-key.ts";

const key = await makeKey();
const other = await makeKey();

interface RunningNode {
  readonly node: InformationNode;
  readonly api: FastifyInstance;
  readonly client: InformationClient;
  readonly address: string;
}

/** Nodes that do nothing by themselves; each has those before it for peers. */
async function withNodes(
  count: number,
  run: (...nodes: RunningNode[]) => Promise<void>,
  clock: () => number = Date.now,
): Promise<void> {
  const nodes: RunningNode[] = [];
  try {
    for (let index = 0; index < count; index++) {
      const peers = nodes.map(({ address }) => address);
      const node = new InformationNode({ peers, intervalMs: 3_600_000, now: clock, log: () => {} });
      const api = createInformationApi(node, () => {}, clock);
      const address = await api.listen({ host: "127.0.0.1", port: 0 });
      nodes.push({ node, api, address, client: new InformationClient(address) });
    }
    await run(...nodes);
  } finally {
    for (const { node, api } of nodes) {
      await node.end();
      await api.close();
    }
  }
}

function advertise(key: SigningKey, tokens: Tokens, at = Date.now(), validMs = 60_000): Promise<string> {
  return signAdvertisement({ address: "https://server", tokens, at, validMs }, key);
}

test("XenoServers are found by token and range, page by page, with how many there are", async (t) => {
  await withNodes(1, async ({ client }) => {
    const keys = await Promise.all([90, 100, 120, 150, 151].map(async (cpu) => ({ cpu, key: await makeKey() })));
    for (const { cpu, key } of keys)
      await client.advertise(await advertise(key, { CPUmsps: cpu, EnvType: ["Linux", "Program"] }));
    const first = await client.lookup({ token: "CPUmsps", from: 100, to: 150, limit: 2 });
    t.deepEqual([first.matches, first.entries.map(({ value }) => value)], [3, [100, 120]]);
    const second = await client.lookup({ token: "CPUmsps", from: 100, to: 150, limit: 2, after: first.after });
    t.deepEqual(
      second.entries.map(({ value }) => value),
      [150],
    );
    t.is(second.after, undefined);
    t.is((await client.lookup({ token: "EnvType", value: "Linux" })).matches, 5);
    t.is((await client.lookup({ token: "EnvType", value: "Linu" })).matches, 0);
    t.is((await client.lookup({ token: "nothing" })).matches, 0);
    const { tokens, address, ageMs } = await client.find(first.entries[0]!.server);
    t.like(tokens, { CPUmsps: 100 });
    t.is(address, "https://server");
    t.true(ageMs >= 0);
  });
});

test("an update replaces all that was said before, and an older one changes nothing (A1, F1)", async (t) => {
  await withNodes(1, async ({ client }) => {
    const key = await makeKey();
    const now = Date.now();
    const old = await advertise(key, { CPUmsps: 1, Old: 1 }, now - 1000);
    const recent = await advertise(key, { CPUmsps: 2 }, now);
    t.true((await client.advertise(old)).isNew);
    t.true((await client.advertise(recent)).isNew);
    t.false((await client.advertise(old)).isNew);
    t.false((await client.advertise(recent)).isNew);
    t.deepEqual(
      (await client.lookup({ token: "CPUmsps" })).entries.map(({ value }) => value),
      [2],
    );
    t.is((await client.lookup({ token: "Old" })).matches, 0);
  });
});

test("what is not renewed ages, and is discarded when it expires; shown again it is refused (A2)", async (t) => {
  let now = 1_800_000_000_000;
  await withNodes(
    1,
    async ({ node, client }) => {
      const key = await makeKey();
      const text = await advertise(key, { CPUmsps: 1 }, now, 5000);
      const { server } = await client.advertise(text);
      now += 4000;
      t.is((await client.find(server)).ageMs, 4000);
      t.is(node.file.discardExpired(now), 0);
      now += 1000;
      t.is(node.file.discardExpired(now), 1);
      t.is((await client.lookup({ token: "CPUmsps" })).matches, 0);
      await t.throwsAsync(client.find(server), { code: "advertisement-unknown" });
      await t.throwsAsync(client.advertise(text), { code: "advertisement-stale" });
    },
    () => now,
  );
});

test("nodes tell each other, and what a node had is found at the others when it dies", async (t) => {
  await withNodes(3, async (first, second, third) => {
    const text = await advertise(await makeKey(), { CPUmsps: 7 });
    await first.client.advertise(text);
    await second.node.askPeers();
    await first.api.close();
    await third.node.askPeers();
    t.is((await third.client.lookup({ token: "CPUmsps" })).matches, 1);
    const { changes } = await second.client.listChanges(0);
    t.is(changes.length, 1);
    t.deepEqual((await second.client.listChanges(changes[0]!.sequence)).changes, []);
  });
});

test("more than a page of changes reaches a peer, and later only what is new", async (t) => {
  await withNodes(2, async (first, second) => {
    const keys = await Promise.all(Array.from({ length: 1050 }, () => makeKey()));
    for (const key of keys) await first.node.advertise(await advertise(key, { CPUmsps: 1 }));
    await second.node.askPeers();
    t.is(second.node.file.size, 1050);
    await first.node.advertise(await advertise(keys[0]!, { CPUmsps: 2 }, Date.now() + 1));
    await second.node.askPeers();
    t.is((await second.client.lookup({ token: "CPUmsps", from: 2 })).matches, 1);
  });
});

const claims = {
  key: describePublicKey(key.publicKey),
  at: Date.now(),
  expires: Date.now() + 60_000,
  address: "x",
  tokens: { a: 1 },
};
const sign = (said: object, by = key, typ = "xeno-advertisement+jwt") =>
  new CompactSign(Buffer.from(JSON.stringify(said))).setProtectedHeader({ alg: "EdDSA", typ }).sign(by.privateKey);
const hour = 3_600_000;

const hostile: Record<string, { code: string; make: () => Promise<string> | string }> = {
  "signed by another key than it names": { code: "signature-invalid", make: () => sign(claims, other) },
  "that names no key": { code: "signature-invalid", make: () => sign({ ...claims, key: undefined }) },
  "that names a broken key": {
    code: "signature-invalid",
    make: () => sign({ ...claims, key: { kty: "OKP", crv: "Ed25519", x: "AA" } }),
  },
  "of another kind": { code: "signature-invalid", make: () => sign(claims, key, "xeno-order+jwt") },
  "with a token of a hostile name": {
    code: "signature-invalid",
    make: () => sign({ ...claims, tokens: JSON.parse('{"__proto__":1}') }),
  },
  "with a value that is an object": {
    code: "signature-invalid",
    make: () => sign({ ...claims, tokens: { a: { b: 1 } } }),
  },
  "with too many tokens": {
    code: "signature-invalid",
    make: () => sign({ ...claims, tokens: Object.fromEntries(Array.from({ length: 65 }, (_, at) => [`t${at}`, 1])) }),
  },
  "from the future": {
    code: "advertisement-stale",
    make: () => sign({ ...claims, at: claims.at + hour, expires: claims.at + 2 * hour }),
  },
  "for longer than a day": {
    code: "advertisement-stale",
    make: () => sign({ ...claims, expires: claims.at + 25 * hour }),
  },
  "that has expired": { code: "advertisement-stale", make: () => sign({ ...claims, at: 1, expires: 2 }) },
  "that is no text of ours": { code: "signature-invalid", make: () => "a.b.c" },
};
for (const [title, { code, make }] of Object.entries(hostile))
  test(`an advertisement ${title} is refused`, async (t) => {
    const node = new InformationNode({ peers: [], intervalMs: hour, log: () => {} });
    await t.throwsAsync(async () => await node.advertise(await make()), { code });
    t.is(node.file.size, 0);
  });

test("an advertisement that is too long is refused before it is read", async (t) => {
  await withNodes(1, async ({ client }) => {
    await t.throwsAsync(client.advertise("a".repeat(20_000)), { code: "request-invalid" });
  });
});
