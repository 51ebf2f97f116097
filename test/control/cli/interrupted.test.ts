/** Commands that are killed, interrupted or not allowed: what was there stays, and nothing else does. */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { chown, mkdir, readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import test from "ava";
import { execa } from "execa";
import { makeXeno, poll, type Xeno } from "./xeno.ts";

const nobody = 65_534;

/** An archive of some packs' length, and a pipe that an import reads a part of it from and then waits. */
async function beginImport(xeno: Xeno) {
  await xeno.write("in", Object.fromEntries([1, 2, 3, 4].map((n) => [`file-${n}`, randomBytes(12 * 2 ** 20)])));
  await execa("tar", ["--create", "--file", xeno.at("in.tar"), "--directory", xeno.at("in"), "."]);
  await execa("mkfifo", [xeno.at("pipe")]);
  const child = xeno.spawn(["template", "import", "large", "--tar", xeno.at("pipe"), "--json"]);
  const { size } = await stat(xeno.at("in.tar"));
  const writer = createWriteStream(xeno.at("pipe"));
  createReadStream(xeno.at("in.tar"), { end: Math.floor(size * 0.75) }).pipe(writer, { end: false });
  writer.on("error", () => {});
  const exited = new Promise<number | null>((resolve) => child.once("exit", (code) => resolve(code)));
  await poll("the first pack", async () => (await countFiles(join(xeno.home, "store/packs"))) > 0);
  return { child, exited, writer };
}

async function countFiles(directory: string): Promise<number> {
  return (await readdir(directory).catch(() => [])).length;
}

test("an import that is killed leaves no template; the next run sends the rest and completes it", async (t) => {
  const xeno = await makeXeno(t);
  await xeno.newKey("templates");
  const { child, exited, writer } = await beginImport(xeno);
  child.kill("SIGKILL");
  await exited;
  writer.destroy();
  t.deepEqual(await xeno.json("template", "ls"), []);
  const imported = await xeno.json("template", "import", "large", "--tar", xeno.at("in.tar"));
  t.is(imported.bytes, 48 * 2 ** 20);
  t.true(imported.sentBytes < imported.bytes * 0.9, "packs that were stored are not sent again");
  t.is((await xeno.json("template", "resolve", "template://large/current")).tree, imported.tree);
});

test("an import that is interrupted ends with 130 and leaves no template", async (t) => {
  const xeno = await makeXeno(t);
  await xeno.newKey("templates");
  const { child, exited, writer } = await beginImport(xeno);
  child.kill("SIGINT");
  t.is(await exited, 130);
  writer.destroy();
  t.deepEqual(await xeno.json("template", "ls"), []);
  t.is(await countFiles(join(xeno.home, "store/tmp")), 0);
});

test("who is not root is told what needs root, and what does not works", async (t) => {
  const xeno = await makeXeno(t);
  const url = await xeno.importFiles("small", { "etc/motd": "hello\n" });
  const script = join(await xeno.write("scripts", { run: "#!/bin/sh\n" }), "run");
  await mkdir(xeno.at("m"));
  for (const path of [
    xeno.directory,
    ...(await readdir(xeno.directory, { recursive: true })).map((name) => xeno.at(name)),
  ])
    await chown(path, nobody, nobody);
  for (const [args, code, message] of [
    [["mount", url, xeno.at("m")], "mount-needs-root", /only root can mount/],
    [["overlay", "build", "--from", url, script], "needs-root", /overlay build needs root, for mounting/],
    [["server", "run", "--name", "a"], "needs-root", /server run needs root, for network namespaces/],
  ] as const) {
    const error = await xeno.fail(args, { as: nobody });
    t.is(error.code, code);
    t.regex(error.message, message);
    t.regex(error.hint!, /sudo/);
  }
  const { stdout } = await xeno.run(["template", "ls", "--json"], { as: nobody });
  t.is(JSON.parse(stdout).length, 1);
  t.deepEqual((await readdir(xeno.home)).sort(), ["keys", "store"], "nothing was begun");
});

test("a second Ctrl-C ends a mount at once, and it is off", async (t) => {
  const xeno = await makeXeno(t);
  const url = await xeno.importFiles("small", { "etc/motd": "hello\n" });
  await mkdir(xeno.at("m"));
  const mounted = await xeno.start(["mount", url, xeno.at("m")]);
  // Whoever is in it keeps it from being taken off gently.
  const user = spawn("sh", ["-c", 'cd "$0" && echo in && exec sleep 60', xeno.at("m")], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  t.teardown(() => user.kill("SIGKILL"));
  await new Promise((resolve) => user.stdout.once("data", resolve));
  mounted.process.kill("SIGINT");
  const began = performance.now();
  t.is(await mounted.end("SIGTERM"), 130);
  t.true(performance.now() - began < 2500);
  t.false((await readFile("/proc/self/mountinfo", "utf8")).includes(xeno.at("m")));
});
