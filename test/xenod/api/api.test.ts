import { stat } from "node:fs/promises";
import test from "ava";
import { apiSocket } from "../../../xenod/api/socket-path.ts";
import { runXenoServer, shutdownServer } from "../../../xenod/daemon/run-xeno-server.ts";
import { findKeeper } from "../../../xenod/file-server/start.ts";
import { JsonClient } from "../../../xenod/http/json-client.ts";
import { readStartTime } from "../../../xenod/processes.ts";
import { publishFiles } from "../published.ts";
import { run } from "./running-xenod.ts";

test("errors come back as what they were, and the client counts what it asked", async (t) => {
  const { client, stateDirectory, published } = await run(t);
  t.like(await client.status(), { name: "a", hypervisor: "qemu", domains: {} });
  await t.throwsAsync(client.domain("nobody"), { code: "domain-unknown", message: "there is no domain nobody" });
  await t.throwsAsync(client.stop("nobody"), { code: "domain-unknown" });
  await t.throwsAsync(client.remove("nobody"), { code: "domain-unknown" });
  await t.throwsAsync(client.waitForTask("00000000-0000-0000-0000-000000000000"), { code: "task-unknown" });
  const url = await publishFiles(published, "service", { "etc/motd": "hello\n" });
  const wanted = { id: "request-1", overlay: url, kernel: url, memoryMiB: 128, cpus: 1 };
  for (const [change, pattern] of [
    [{ memoryMiB: 1 }, /memoryMiB/],
    [{ cpus: 0.5 }, /cpus/],
    [{ id: "x" }, /id/],
    [{ surprise: true }, /additional/],
    [{ kernelCommandLine: "a\nb" }, /kernelCommandLine/],
    [{ hostname: "-" }, /hostname/],
  ] as const)
    await t.throwsAsync(client.deploy({ ...wanted, ...change } as typeof wanted), {
      code: "request-invalid",
      message: pattern,
    });
  const begun = await client.deploy(wanted);
  const error = await t.throwsAsync(client.waitForTask(begun.task));
  t.like(error, { code: "kernel-unusable", message: `${url} is no kernel template: no config.json` });
  t.deepEqual(await client.deploy(wanted), { ...begun, isRepeated: true }, "the same request is not done again");
  t.deepEqual(await client.domains(), [], "it was taken back");
  t.true(client.sent.requests >= 13 && client.sent.bytes > 500);
  t.is((await stat(apiSocket(stateDirectory))).mode & 0o777, 0o600);
});

test("what is no request of the API is refused in JSON", async (t) => {
  const { stateDirectory } = await run(t);
  const json = new JsonClient({ endpoint: { socketPath: apiSocket(stateDirectory) }, server: "Xenod", hint: "" });
  t.teardown(() => json.close());
  await t.throwsAsync(json.request({ method: "GET", path: "/v1/nothing" }), { code: "route-unknown" });
  await t.throwsAsync(json.request({ method: "GET", path: "/v1/domains/..%2f..%2fetc" }), { code: "request-invalid" });
  await t.throwsAsync(json.request({ method: "POST", path: "/v1/deployments", body: "x".repeat(100_000) }), {
    code: "request-invalid",
  });
});

test("one Xenod has a state directory; ended by its signal, it leaves the file server to the next", async (t) => {
  const { options, ending, ended, client, stateDirectory } = await run(t);
  const signal = new AbortController().signal;
  await t.throwsAsync(runXenoServer({ ...options, signal }), { code: "in-use" });
  const { fileServer } = await client.status();
  ending.abort();
  await ended;
  await t.throwsAsync(client.status(), { code: "server-unreachable" });
  t.is((await findKeeper(stateDirectory))?.pid, fileServer.keeper);
  await shutdownServer(options, { graceMs: 0 });
  t.is(await findKeeper(stateDirectory), undefined);
  t.is(await readStartTime(fileServer.worker!), undefined);
});

test("a XenoServer that is shut down by a client ends, with its file server", async (t) => {
  const { client, ended, stateDirectory } = await run(t);
  await client.shutdown();
  await ended;
  t.is(await findKeeper(stateDirectory), undefined);
});

test("a keeper that was killed is replaced", async (t) => {
  const { client, stateDirectory } = await run(t);
  const before = (await findKeeper(stateDirectory))!;
  process.kill(before.pid, "SIGKILL");
  const end = performance.now() + 60_000;
  let after = (await client.status()).fileServer.keeper;
  while ((after === before.pid || after === undefined) && performance.now() < end)
    after = (await client.status()).fileServer.keeper;
  t.not(after, before.pid);
  t.is(typeof after, "number");
});
