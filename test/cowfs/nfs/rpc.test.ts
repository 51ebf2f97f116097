import test from "ava";
import { encodeCall, mark } from "./client.ts";
import { encode } from "./encoder.ts";
import { serveModel } from "./fixture.ts";

const xid = "0a0b0c0d";
const none = "0000000000000000";
const nfs = "000186a3 00000003";
/** AUTH_SYS: stamp, "m", uid 0, gid 0, no groups. */
const system = "00000001 00000018 00000000 00000001 6d000000 00000000 00000000 00000000";

const accepted = `${xid} 00000001 00000000 ${none}`;
const denied = `${xid} 00000001 00000001`;

/** What a server answers to which bytes (RFC 5531 section 9). */
const vectors: [string, string, string][] = [
  ["NULL without credential", `${xid} 00000000 00000002 ${nfs} 00000000 ${none} ${none}`, `${accepted} 00000000`],
  ["NULL with AUTH_SYS", `${xid} 00000000 00000002 ${nfs} 00000000 ${system} ${none}`, `${accepted} 00000000`],
  ["RPC version 3", `${xid} 00000000 00000003 ${nfs} 00000000 ${none} ${none}`, `${denied} 00000000 00000002 00000002`],
  [
    "an unknown credential flavor",
    `${xid} 00000000 00000002 ${nfs} 00000000 00000006 00000000 ${none}`,
    `${denied} 00000001 00000001`,
  ],
  [
    "a credential of over 400 bytes",
    `${xid} 00000000 00000002 ${nfs} 00000000 00000001 00000191 ${"00".repeat(404)} ${none}`,
    `${denied} 00000001 00000001`,
  ],
  [
    "a credential that is longer than the message",
    `${xid} 00000000 00000002 ${nfs} 00000000 00000001 00000100 ${none}`,
    `${denied} 00000001 00000001`,
  ],
  [
    "17 groups",
    `${xid} 00000000 00000002 ${nfs} 00000000 00000001 0000005c 00000000 00000001 6d000000 00000000 00000000 00000011 ${"00".repeat(68)} ${none}`,
    `${denied} 00000001 00000001`,
  ],
  [
    "a verifier that is not AUTH_NONE",
    `${xid} 00000000 00000002 ${nfs} 00000000 ${system} 00000001 00000000`,
    `${denied} 00000001 00000003`,
  ],
  ["an unknown program", `${xid} 00000000 00000002 00018707 00000003 00000000 ${none} ${none}`, `${accepted} 00000001`],
  [
    "NFS version 4",
    `${xid} 00000000 00000002 000186a3 00000004 00000000 ${none} ${none}`,
    `${accepted} 00000002 00000003 00000003`,
  ],
  [
    "portmapper version 4",
    `${xid} 00000000 00000002 000186a0 00000004 00000000 ${none} ${none}`,
    `${accepted} 00000002 00000002 00000002`,
  ],
  ["procedure 22", `${xid} 00000000 00000002 ${nfs} 00000016 ${none} ${none}`, `${accepted} 00000003`],
  ["procedure 2^32 - 1", `${xid} 00000000 00000002 ${nfs} ffffffff ${none} ${none}`, `${accepted} 00000003`],
  ["GETATTR without arguments", `${xid} 00000000 00000002 ${nfs} 00000001 ${system} ${none}`, `${accepted} 00000004`],
  [
    "GETATTR with a handle of 65 bytes",
    `${xid} 00000000 00000002 ${nfs} 00000001 ${system} ${none} 00000041 ${"00".repeat(68)}`,
    `${accepted} 00000004`,
  ],
  [
    "GETATTR with an empty handle",
    `${xid} 00000000 00000002 ${nfs} 00000001 ${system} ${none} 00000000`,
    `${accepted} 00000000 00002711`,
  ],
];

for (const [name, call, reply] of vectors) {
  test(`answers ${name}`, async (t) => {
    const { client } = await serveModel(t);
    client.send(mark(Buffer.from(call.replaceAll(" ", ""), "hex")));
    const record = await client.reply(0x0a0b0c0d);
    t.is(record.toString("hex"), reply.replaceAll(" ", ""));
  });
}

test("a reply sent to the server is not answered, and the connection goes on", async (t) => {
  const { client } = await serveModel(t);
  client.send(mark(encode().u32(77).u32(1).u32(0).u64(0).u32(0).take()));
  await client.call(0);
  t.false(client.records.some((record) => record.readUInt32BE() === 77));
});

test("a record too short for a header closes the connection", async (t) => {
  const { client, connect } = await serveModel(t);
  client.send(mark(Buffer.from("0000000100", "hex")));
  await client.closed();
  await t.notThrowsAsync(async () => (await connect()).call(0));
});

test("a call cut into fragments, and two calls in one segment, are answered", async (t) => {
  const { client } = await serveModel(t);
  const one = encodeCall(0, Buffer.alloc(0), { xid: 1001 });
  const two = encodeCall(0, Buffer.alloc(0), { xid: 1002 });
  client.send(Buffer.concat([mark(one.subarray(0, 10), false), mark(one.subarray(10)), mark(two)]));
  t.truthy(await client.reply(1001));
  t.truthy(await client.reply(1002));
});
