import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, rm, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import test from "ava";
import { execa } from "execa";
import { mountFileSystem } from "../../../cowfs/fuse/mount.ts";
import { createModel } from "../model/model.ts";
import { eventually, makeDirectory, mountForTest } from "./mounted.ts";

const name = "model";
const serverProgram = new URL("./serve-model.ts", import.meta.url).pathname;

async function isMounted(directory: string): Promise<boolean> {
  return (await readFile("/proc/self/mountinfo", "utf8")).includes(` ${directory} `);
}

/** A server in a process of its own that can be ended in every way. */
async function startServer(t: Parameters<typeof makeDirectory>[0], directory: string, prefix: readonly string[] = []) {
  const [program, ...args] = [...prefix, process.execPath, serverProgram, directory];
  const server = spawn(program, args, { stdio: ["ignore", "pipe", "ignore"] });
  t.teardown(() => server.kill("SIGKILL"));
  const [line] = await once(createInterface({ input: server.stdout }), "line");
  t.is(line, "mounted");
  return server;
}

test("a mount serves until it is unmounted, and says so", async (t) => {
  const { directory, mount, shell } = await mountForTest(t, createModel());
  await shell("echo x > f");
  t.true(await isMounted(directory));
  await mount.unmount();
  await mount.unmounted;
  t.false(await isMounted(directory));
});

test("it is gone as well when somebody else unmounts it", async (t) => {
  // In a mount namespace of its own, of which nobody who makes one meanwhile gets a copy.
  const directory = await makeDirectory(t);
  const server = await startServer(t, directory, ["unshare", "--mount"]);
  const ended = once(server, "exit");
  await execa("nsenter", ["--mount", `--target=${server.pid}`, "umount", directory]);
  t.deepEqual(await ended, [0, null]);
});

test("unmounting does not wait for mount namespaces that were made meanwhile: their copies go dead", async (t) => {
  const { directory, mount, shell } = await mountForTest(t, createModel());
  await shell("echo x > f");
  const other = spawn("unshare", ["--mount", "--propagation=private", "sh", "-c", "echo in && exec sleep 600"], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  t.teardown(() => other.kill("SIGKILL"));
  await once(other.stdout, "data");
  const inside = (...command: string[]) =>
    execa("nsenter", ["--mount", `--target=${other.pid}`, ...command], { reject: false });
  t.is((await inside("cat", join(directory, "f"))).stdout, "x");
  await mount.unmount();
  await mount.unmounted;
  t.false(await isMounted(directory));
  t.regex((await inside("ls", directory)).stderr, /not connected/);
});

test("the signal unmounts; one that aborted before never mounts", async (t) => {
  const controller = new AbortController();
  const { directory, mount } = await mountForTest(t, createModel(), { signal: controller.signal });
  controller.abort();
  await mount.unmounted;
  t.false(await isMounted(directory));
  await t.throwsAsync(mountFileSystem(createModel(), directory, { name, signal: controller.signal }), {
    name: "AbortError",
  });
});

test("a signal that aborts while mounting leaves nothing", async (t) => {
  const directory = await makeDirectory(t);
  for (const delayMs of [0, 1, 5, 10, 20]) {
    const signal = AbortSignal.timeout(delayMs);
    const mount = await mountFileSystem(createModel(), directory, { name, signal }).catch(() => undefined);
    await mount?.unmounted;
    t.false(await isMounted(directory));
  }
});

test("users that do not leave lose the mount after a while", async (t) => {
  const { directory, mount } = await mountForTest(t, createModel());
  const user = spawn("sh", ["-c", `cd ${directory} && echo in && exec sleep 60`], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  t.teardown(() => user.kill("SIGKILL"));
  await once(user.stdout, "data");
  await mount.unmount();
  t.false(await isMounted(directory));
  t.is(user.exitCode, null);
});

test("a directory that is missing or none, and one that is a mount already, are refused by name", async (t) => {
  const { directory } = await mountForTest(t, createModel());
  const empty = await makeDirectory(t);
  const file = join(empty, "file");
  await writeFile(file, "");
  t.teardown(() => rm(file));
  const refused = async (path: string, code: string) => {
    const error = await t.throwsAsync(mountFileSystem(createModel(), path, { name }));
    t.like(error, { code });
    t.true(error!.message.includes(path));
  };
  await refused(join(empty, "none"), "mount-point-missing");
  await refused(file, "mount-point-missing");
  await refused(directory, "mount-point-busy");
});

test("a server that is told to stop, or that dies of an error, leaves no mount", async (t) => {
  const directory = await makeDirectory(t);
  for (const signal of ["SIGTERM", "SIGINT", "SIGUSR2"] as const) {
    const server = await startServer(t, directory);
    server.kill(signal);
    const [status] = await once(server, "exit");
    // SIGUSR2 makes it throw.
    t.is(status, signal === "SIGUSR2" ? 1 : 0);
    t.false(await isMounted(directory));
  }
});

test("a server that is killed leaves a dead mount; the next one says how to clear it", async (t) => {
  const directory = await makeDirectory(t);
  const server = await startServer(t, directory);
  server.kill("SIGKILL");
  await once(server, "exit");
  await eventually("dead", async () =>
    (await execa("stat", [directory], { reject: false })).stderr.includes("not connected"),
  );
  const error = await t.throwsAsync(mountFileSystem(createModel(), directory, { name }));
  t.like(error, { code: "mount-point-dead", hint: `clear it with \`umount -l ${directory}\`` });
  await execa("umount", ["-l", directory]);
  const mount = await mountFileSystem(createModel(), directory, { name });
  await mount.unmount();
});

test("a mount that was covered by another is not mistaken for it", async (t) => {
  const { directory, mount } = await mountForTest(t, createModel());
  await execa("mount", ["-t", "tmpfs", "cover", directory]);
  await t.throwsAsync(mount.unmount(), { message: /something else was mounted over/ });
  t.true(await isMounted(directory));
  await execa("umount", [directory]);
  await mount.unmount();
  t.false(await isMounted(directory));
});

test("more mounts than Node has threads serve side by side", async (t) => {
  const mounts = await Promise.all(Array.from({ length: 6 }, () => mountForTest(t, createModel())));
  const outputs = await Promise.all(mounts.map(({ shell }, index) => shell(`echo ${index} > f; sync f; cat f`)));
  t.deepEqual(outputs, ["0", "1", "2", "3", "4", "5"]);
});

test("names with spaces are shown and found again", async (t) => {
  const parent = await makeDirectory(t);
  const directory = join(parent, "a b\\c");
  await execa("mkdir", [directory]);
  t.teardown(() => rmdir(directory));
  const mount = await mountFileSystem(createModel(), directory, { name: "template://Debian/12 current" });
  const { stdout } = await execa("df", ["--output=source", directory]);
  t.true(stdout.includes("template://Debian/12 current"));
  await mount.unmount();
  t.deepEqual((await execa("ls", [directory])).stdout, "");
});

test("a disk that refuses ends the mount instead of lying", async (t) => {
  let refuses = false;
  const onFlush = () => {
    if (refuses) throw new Error("the disk refuses");
  };
  const directory = await makeDirectory(t);
  const mount = await mountFileSystem(createModel({ onFlush }), directory, { name });
  await execa("sh", ["-c", `echo x > ${directory}/f`]);
  refuses = true;
  const { failed } = await execa("sh", ["-c", `echo y > ${directory}/g`], { reject: false });
  t.true(failed);
  await t.throwsAsync(mount.unmounted, { message: "the disk refuses" });
  t.false(await isMounted(directory));
});
