/** Domains that are given another size, with everything real but the guests, which the simulator plays. */
import { join } from "node:path";
import test from "ava";
import { execa } from "execa";
import { openSimulatedConsole } from "../../../xenod/hypervisors/simulator/simulated-guest.ts";
import { nameLink } from "../../../xenod/links/guest-link.ts";
import { startXenoServer } from "../../end-to-end/xeno-server.ts";
import { publishFiles } from "../published.ts";
import { poll } from "../test-guest.ts";

test("a domain is resized at once where its platform can, and for the rest when it next boots", async (t) => {
  const { client, published, prefix, stateDirectory, kill, launch } = await startXenoServer(t, { simulates: true });
  const configuration = JSON.stringify({ format: 1, kernel: "vmlinux", initramfs: "initramfs", commandLine: "quiet" });
  const files = { "config.json": configuration, vmlinux: "no kernel", initramfs: "no initramfs" };
  const kernel = await publishFiles(published, "kernel", files);
  const overlay = await publishFiles(published, "web", { "sbin/init": "never run" });
  const network = { peakKbitPerSecond: 1_000 };
  const deployment = { id: "request-1", name: "web", overlay, kernel, memoryMiB: 128, cpus: 1, network };
  const until = (state: string) =>
    poll(`the domain to be ${state}`, async () => {
      const record = await client.domain("web");
      return record.state === state && (state !== "running" || record.usage !== undefined);
    });
  await client.deploy(deployment);
  await until("running");
  const link = nameLink({ prefix, server: "a", domain: "web" });
  const rate = async () => (await execa("tc", ["-n", link, "qdisc", "show", "dev", "up0"])).stdout;
  const memory = async () => (await client.domain("web")).usage!.memoryBytes / 1024 / 1024;
  t.regex(await rate(), /rate 1Mbit/);

  const larger = {
    ...{ memoryMiB: 256, journalMiB: 512, cpu: { meanMsPerSecond: 100 }, network: { peakKbitPerSecond: 2_000 } },
  };
  const { cpu } = larger;
  for (const _ of ["first", "again"]) {
    const resized = await client.resize("web", larger);
    t.like(resized, { deployment: { memoryMiB: 128, cpu, network: larger.network }, nextSize: larger });
    t.false("journalMiB" in resized.deployment);
  }
  t.regex(await rate(), /rate 2Mbit/);
  t.is(await memory(), 128, "what it was made with is all that it can have now");
  const { room } = await client.status();

  t.like(await client.resize("web", { memoryMiB: 96 }), {
    deployment: { memoryMiB: 128 },
    nextSize: { memoryMiB: 96 },
  });
  t.is(await memory(), 96, "its balloon gives back what is to be less");
  t.is((await client.status()).room.cpuMsPerSecond.left, room.cpuMsPerSecond.left + 100);
  t.true((await client.status()).memoryMiB.guests >= 128, "what it could take again is its own");
  t.notRegex(await rate(), /rate/);
  await client.resize("web", larger);
  t.is(await memory(), 128);
  await t.throwsAsync(client.resize("web", { memoryMiB: 128, cpu: { meanMsPerSecond: 1_001 } }), {
    code: "cpu-invalid",
  });
  await t.throwsAsync(client.resize("web", { memoryMiB: 128, journalMiB: 1 }), { code: "quota-invalid" });
  await t.throwsAsync(client.resize("none", larger), { code: "domain-unknown" });

  await client.waitForTask((await client.suspend("web")).task);
  const most = { ...larger, cpu: { meanMsPerSecond: 200 } };
  t.like(await client.resize("web", most), { state: "suspended", deployment: { memoryMiB: 128, cpu: most.cpu } });
  await kill();
  await launch();
  await client.waitForTask((await client.resume("web")).task);
  t.is(await memory(), 128, "an image is of a guest with so much memory");
  t.like(await client.deploy(deployment), { domain: "web", isRepeated: true });
  await t.throwsAsync(client.deploy({ ...deployment, memoryMiB: 256 }), { code: "request-conflict" });

  openSimulatedConsole(join(stateDirectory, "domains", "web")).write("poweroff -f\n");
  await until("stopped");
  await client.start("web");
  await until("running");
  const started = await client.domain("web");
  t.like(started, { deployment: most, nextSize: undefined });
  t.is(started.export?.specification.quotaBytes, 512 * 1024 * 1024);
  t.is(await memory(), 256);

  await client.waitForTask((await client.stop("web", 0)).task);
  const stopped = await client.resize("web", { memoryMiB: 192 });
  t.is(stopped.deployment.memoryMiB, 192);
  t.false("nextSize" in stopped);
  await client.waitForTask((await client.resume("web", { checkpoint: 1 })).task);
  t.is(await memory(), 128, "a checkpoint of before has the memory that it was taken with");
  t.like(await client.domain("web"), { nextSize: { memoryMiB: 192 } });
  t.like(await client.deploy(deployment), { domain: "web", isRepeated: true });
});
