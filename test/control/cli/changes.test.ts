/** Changes made through `xeno mount` or `xeno serve`, published, and seen again over the same base. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import test from "ava";
import { execa } from "execa";
import { makeXeno, poll, type Xeno } from "./xeno.ts";

/** In a process of its own: this one stays free, whatever the mount does. */
async function sh(directory: string, script: string): Promise<string> {
  const { stdout } = await execa("sh", ["-ec", `cd "$0"\n${script}`, directory], { timeout: 120_000 });
  return stdout;
}

async function isMounted(directory: string): Promise<boolean> {
  return (await readFile("/proc/self/mountinfo", "utf8")).includes(` ${directory} `);
}

async function makeSmall(t: Parameters<typeof makeXeno>[0]): Promise<{ xeno: Xeno; url: string }> {
  const xeno = await makeXeno(t);
  await xeno.newKey("demo");
  const url = await xeno.importFiles("small", {
    "etc/motd": "hello\n",
    "etc/hosts": "127.0.0.1\n",
    "bin/tool": "tool",
  });
  await mkdir(xeno.at("m"));
  return { xeno, url };
}

test("what was changed in a mount is published over its base, and mounted again", async (t) => {
  const { xeno, url } = await makeSmall(t);
  const [mountPoint, journal] = [xeno.at("m"), xeno.at("journal")];
  const first = await xeno.start(["mount", url, mountPoint, "--journal", journal]);
  t.like(first.result, { mounted: mountPoint, url, journal });
  await sh(mountPoint, "echo changed > etc/motd; mkdir new; echo data > new/file; rm bin/tool; ln -s etc/motd link");
  const inUse = await xeno.fail(["publish", journal, "xenostore://demo/changed"]);
  t.is(inUse.code, "in-use");
  t.regex(inUse.message, new RegExp(`process ${first.process.pid}$`));
  await execa("umount", [mountPoint]);
  t.is(await first.end(), 0, "it ends when it is unmounted");

  const other = await xeno.importFiles("other", { else: "x" });
  t.is((await xeno.fail(["mount", other, mountPoint, "--journal", journal])).code, "layer-changed");
  const published = await xeno.json("publish", journal, "xenostore://demo/changed");
  t.regex(published.url, /^xenostore:\/\/demo\/changed@[0-9a-f]{12}$/);
  t.is(published.reusedChunks, 0);
  t.true(published.bytes < 200, "the base's content is not in it");

  const second = await xeno.start(["mount", "xenostore://demo/changed", mountPoint]);
  const seen = await sh(mountPoint, "cat .mount etc/motd etc/hosts new/file link; ls bin");
  const { tree } = await xeno.json("template", "resolve", url);
  t.is(seen, `.\nro template://blake3:${tree}\nchanged\n127.0.0.1\ndata\nchanged`);
  t.is(await second.end("SIGINT"), 0);
  t.false(await isMounted(mountPoint));
});

test("what was written over NFS is published over its base, and served again", async (t) => {
  const { xeno, url } = await makeSmall(t);
  const journal = xeno.at("journal");
  const nfsUrl = (address: string, path: string) => {
    const port = address.split(":")[1];
    return `nfs://127.0.0.1/${path}?nfsport=${port}&mountport=${port}&version=3`;
  };
  const first = await xeno.start(["serve", url, "--listen", "127.0.0.1:0", "--journal", journal]);
  const { listening } = first.result;
  await writeFile(xeno.at("data"), "written\n");
  await execa("nfs-cp", [xeno.at("data"), nfsUrl(listening, "etc/new")], { timeout: 120_000 });
  await execa("nfs-cp", [nfsUrl(listening, "etc/motd"), xeno.at("motd")], { timeout: 120_000 });
  t.is(await readFile(xeno.at("motd"), "utf8"), "hello\n");

  const taken = await xeno.fail(["serve", url, "--listen", listening]);
  t.is(taken.code, "listen-failed");
  t.regex(taken.message, /EADDRINUSE/);
  t.is(await first.end(), 0);
  await xeno.json("publish", journal, "xenostore://demo/served");
  const second = await xeno.start(["serve", "xenostore://demo/served", "--listen", "127.0.0.1:0"]);
  const { stdout } = await execa("nfs-ls", ["-R", nfsUrl(second.result.listening, "")], { timeout: 120_000 });
  for (const name of ["etc/new", "etc/motd", "etc/hosts", "bin/tool"])
    t.regex(stdout, new RegExp(` ${name}$`, "m"), name);
});

test("an overlay is built by a script, and one that fails or is interrupted leaves no journal and no mount", async (t) => {
  const xeno = await makeXeno(t);
  const busybox = await readFile("/bin/busybox");
  const places = Object.fromEntries(["dev", "proc", "tmp", "run", "root"].map((name) => [`${name}/.keep`, ""]));
  const url = await xeno.importFiles("base", { "usr/bin/env": busybox, "bin/busybox": busybox, ...places }, [
    "usr/bin/env",
    "bin/busybox",
  ]);
  const script = async (name: string, text: string) =>
    join(await xeno.write("scripts", { [name]: `#!/bin/busybox sh\n${text}\n` }), name);
  const build = (file: string) => ["overlay", "build", "--from", url, file, "--journal", xeno.at("built")];

  const failed = await xeno.fail(build(await script("fails", "echo before the end; exit 7")));
  t.is(failed.code, "overlay-script-failed");
  t.regex(failed.message, /ended with 7:\nbefore the end/);
  const slow = xeno.spawn([...build(await script("slow", "echo begun; busybox sleep 60")), "--json"]);
  let stderr = "";
  slow.stderr!.on("data", (text) => (stderr += text));
  await poll("the script to begin", () => stderr.includes("begun"));
  slow.kill("SIGINT");
  t.is(await new Promise((resolve) => slow.once("exit", resolve)), 130);
  t.regex(stderr, /"code":"interrupted"/);
  t.false((await readFile("/proc/self/mountinfo", "utf8")).includes(`fuse.xeno ${url}`));

  const built = await xeno.json(...build(await script("works", "echo made > /made")));
  t.is(built.journal, xeno.at("built"));
  t.is((await xeno.fail(build(await script("works", "true")))).code, "journal-exists");
});
