import { X509Certificate } from "node:crypto";
import net from "node:net";
import { join } from "node:path";
import tls from "node:tls";
import test, { type ExecutionContext } from "ava";
import { XenodClient } from "../../../xenod/api/client.ts";
import { makeCertificate } from "../../../xenod/identity/certificate.ts";
import { loadIdentity } from "../../../xenod/identity/tls-identity.ts";
import { createKey, distrustKey, loadPrivateKey, trustKey } from "../../../xenostore/keys/key-ring.ts";
import { makeStore, publishFiles } from "../published.ts";
import { run } from "./running-xenod.ts";

async function callers(t: ExecutionContext) {
  const running = await run(t);
  const { published, url, publicKey } = running;
  const keys = join(published.directory, "callers");
  const call = async (name: string, serverKey = publicKey) => {
    const identity = await loadIdentity(keys, name);
    const client = new XenodClient({ endpoint: { url, serverKey, identity }, name: "a", patienceMs: 0 });
    t.teardown(() => client.close());
    return client;
  };
  const [friend, stranger] = [await createKey(keys, "friend"), await createKey(keys, "stranger")];
  const trusted = await trustKey(published.trustDirectory, "operators", friend.publicKey);
  return { ...running, call, friend, stranger, trusted };
}

test("a caller whose key the operator trusts does over TCP what root does on the socket, until the trust ends", async (t) => {
  const { call, published, trusted, publicKey } = await callers(t);
  const client = await call("friend");
  t.like(await client.status(), { name: "a", publicKey });
  const url = await publishFiles(published, "service", { "etc/motd": "hello\n" });
  const begun = await client.deploy({ id: "request-1", overlay: url, kernel: url, memoryMiB: 128, cpus: 1 });
  await t.throwsAsync(client.waitForTask(begun.task), { code: "kernel-unusable" });
  await distrustKey(published.trustDirectory, "operators", trusted.id);
  await t.throwsAsync(client.status(), { code: "caller-untrusted" });
});

test("others are refused, each with what to do: strangers, who shows no key, and who signs overlays only", async (t) => {
  const { call, stranger, published, url } = await callers(t);
  await t.throwsAsync((await call("stranger")).status(), {
    code: "caller-untrusted",
    message: `this XenoServer does not trust the key ${stranger.publicKey}`,
  });
  await trustKey(published.trustDirectory, "demo", stranger.publicKey);
  await t.throwsAsync((await call("stranger")).domains(), { code: "caller-untrusted" });
  await t.throwsAsync((await call("stranger")).openConsole("web", AbortSignal.timeout(20_000)), {
    code: "server-unreachable",
  });
  const port = Number(new URL(url).port);
  const keyless = tls.connect({ port, host: "127.0.0.1", rejectUnauthorized: false });
  t.teardown(() => keyless.destroy());
  keyless.write("GET /v1/status HTTP/1.1\r\nHost: a\r\n\r\n");
  let answer = "";
  for await (const bytes of keyless) answer += bytes;
  t.regex(answer, /^HTTP\/1\.1 401 .*caller-unknown/s);
});

test("a client that expects another key says nothing to who answers", async (t) => {
  const { call, stranger, publicKey } = await callers(t);
  const wrong = await call("friend", stranger.publicKey);
  const error = await t.throwsAsync(wrong.status(), { code: "server-untrusted" });
  t.true((error as unknown as { hint: string }).hint.includes(publicKey));
});

test("what is no TLS is closed, and the API goes on", async (t) => {
  const { call, url } = await callers(t);
  const plain = net.connect(Number(new URL(url).port), "127.0.0.1");
  plain.on("error", () => {});
  plain.write("GET / HTTP/1.1\r\n\r\n");
  await new Promise((resolve) => plain.once("close", resolve));
  t.is((await (await call("friend")).status()).name, "a");
});

test("the certificate of a key is one that others can read, and is signed with it", async (t) => {
  const { directory } = await makeStore(t);
  const { publicKey } = await createKey(directory, "key");
  const privateKey = await loadPrivateKey(directory, "key");
  const certificate = new X509Certificate(makeCertificate(privateKey));
  t.is(certificate.subject, "CN=xeno");
  t.true(certificate.verify(certificate.publicKey));
  t.true(certificate.checkPrivateKey(privateKey));
  t.is(`ed25519:${certificate.publicKey.export({ format: "jwk" }).x}`, publicKey);
  t.is(makeCertificate(privateKey), makeCertificate(privateKey));
});
