/** Deployments that follow their names, with everything real but the guests, which the simulator plays. */
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import test from "ava";
import { openSimulatedConsole } from "../../../xenod/hypervisors/simulator/simulated-guest.ts";
import { startXenoServer } from "../../end-to-end/xeno-server.ts";
import { publishFiles } from "../published.ts";
import { GuestShell, poll } from "../test-guest.ts";

test("a guest that reboots comes up over what its names mean now where its deployment follows them, and over the same where not", async (t) => {
  const { published, client, stateDirectory } = await startXenoServer(t, { simulates: true });
  const configuration = JSON.stringify({ format: 1, kernel: "vmlinux", initramfs: "initramfs", commandLine: "quiet" });
  const files = { "config.json": configuration, vmlinux: "no kernel", initramfs: "no initramfs" };
  const kernel = await publishFiles(published, "kernel", files);
  const publish = (motd: string, version: string) =>
    publishFiles(published, "web", { "sbin/init": "never run", "etc/motd": motd }, { version });
  const overlay = await publish("one", "1");
  const names = ["follows", "stays"];
  const isUp = async (name: string) => (await client.domain(name)).state === "running";
  for (const name of names) {
    const deployment = { id: randomUUID(), name, overlay, kernel, memoryMiB: 64, cpus: 1, follow: name === "follows" };
    const { task } = await client.deploy(deployment);
    await poll(`${name} to run`, async () => {
      const { state, error } = await client.getTask(task);
      if (state !== "running") throw new Error(`${name}: ${state} ${error?.code} ${error?.message}`);
      return await isUp(name);
    });
  }
  const trees = async () => await Promise.all(names.map(async (name) => (await client.domain(name)).overlayTree));
  const [first] = await trees();
  const reboot = async (name: string) => {
    const { bootEpoch } = (await client.domain(name)).export!;
    const directory = join(stateDirectory, "domains", name);
    const shell = new GuestShell(t, directory, openSimulatedConsole(directory));
    shell.type("reboot -f");
    await poll(`${name} to have rebooted`, async () => {
      const { state, export: exported } = await client.domain(name);
      return state === "running" && exported?.state === "serving" && exported.bootEpoch !== bootEpoch;
    });
    shell.close();
  };
  await reboot("follows");
  t.deepEqual(await trees(), [first, first], "nothing is new");
  await publish("two", "2");
  t.deepEqual(await trees(), [first, first], "what runs stays");
  await reboot("stays");
  await reboot("follows");
  await poll("the new tree", async () => (await trees())[0] !== first && (await isUp("follows")));
  t.is((await trees())[1], first);
  const { layers, export: exported } = await client.domain("follows");
  t.is(layers?.[0].tree, (await trees())[0]);
  t.is(exported?.specification.tree, (await trees())[0]);
});

test("an overlay that was signed before the time that the deployment gives is refused, and a time that is none", async (t) => {
  const { published, client } = await startXenoServer(t, { simulates: true });
  const configuration = JSON.stringify({ format: 1, kernel: "vmlinux", initramfs: "initramfs", commandLine: "quiet" });
  const kernel = await publishFiles(published, "kernel", { "config.json": configuration, vmlinux: "", initramfs: "" });
  const before = new Date().toISOString();
  const overlay = await publishFiles(published, "web", { "sbin/init": "never run" });
  const deploy = (signedSince: string) =>
    client.deploy({ id: randomUUID(), overlay, kernel, memoryMiB: 64, cpus: 1, signedSince });
  const after = new Date(Date.now() + 3_600_000).toISOString();
  await t.throwsAsync(deploy(after), { code: "ref-older" });
  await t.throwsAsync(deploy("2026-13-41T99:00:00Z"), { code: "document-invalid" });
  await t.notThrowsAsync(deploy(before));
});
