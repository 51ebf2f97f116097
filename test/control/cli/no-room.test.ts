/** `$XENO_HOME` on a disk that is full: each command says so, and goes on once there is room; nothing is lost. */
import { randomBytes } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import test, { type ExecutionContext } from "ava";
import { execa } from "execa";
import { makeXeno, Xeno } from "./xeno.ts";

const roomMiB = 8;

/** A home on a disk of its own, which the test takes away again. */
async function makeSmallHome(t: ExecutionContext): Promise<Xeno> {
  const { directory } = await makeXeno(t);
  const disk = `${directory}/disk`;
  await mkdir(disk);
  await execa("mount", ["-t", "tmpfs", "-o", `size=${roomMiB}m`, "tmpfs", disk]);
  t.teardown(() => execa("umount", ["--lazy", disk]));
  return new Xeno(t, directory, `${disk}/home`);
}

async function makeRoom(xeno: Xeno): Promise<void> {
  await execa("mount", ["-o", "remount,size=64m", xeno.at("disk")]);
}

async function sh(directory: string, script: string): Promise<{ stdout: string; stderr: string; failed: boolean }> {
  return await execa("sh", ["-c", `cd "$0"\n${script}`, directory], { timeout: 120_000, reject: false });
}

test("an import and a publication that find no room say so, and send only the rest when they are run again", async (t) => {
  const xeno = await makeSmallHome(t);
  await xeno.newKey("demo");
  const small = await xeno.importFiles("small", { "etc/motd": "hello\n" });
  const large = await xeno.write("large", { one: randomBytes(6 * 2 ** 20), two: randomBytes(6 * 2 ** 20) });
  for (const command of [
    ["template", "import", "large", "--directory", large],
    ["publish", large, "xenostore://demo/large"],
  ]) {
    const error = await xeno.fail(command);
    t.is(error.code, "store-full");
    t.regex(error.hint!, /Make room/);
  }
  t.is((await xeno.json("template", "resolve", small)).url, small, "what was there before is there");
  await makeRoom(xeno);
  const published = await xeno.json("publish", large, "xenostore://demo/large");
  t.is(published.files, 3);
  t.is(published.bytes, 12 * 2 ** 20);
});

test("writing through a mount finds ENOSPC; what was written before stays, also over the next mount", async (t) => {
  const xeno = await makeSmallHome(t);
  const url = await xeno.importFiles("small", { "etc/motd": "hello\n" });
  await mkdir(xeno.at("m"));
  const journal = `${xeno.home}/journal`;
  const mounted = await xeno.start(["mount", url, xeno.at("m"), "--journal", journal]);
  await writeFile(xeno.at("data"), randomBytes(12 * 2 ** 20));
  const { stderr, failed } = await sh(xeno.at("m"), "cat etc/motd; echo before > kept; sync kept; cat ../data > large");
  t.true(failed);
  t.regex(stderr, /No space left on device/);
  t.is((await sh(xeno.at("m"), "rm -f large; cat kept etc/motd")).stdout, "before\nhello");
  await makeRoom(xeno);
  t.is((await sh(xeno.at("m"), "echo after > later; cat later")).stdout, "after");
  t.is(await mounted.end(), 0);
  const again = await xeno.start(["mount", url, xeno.at("m"), "--journal", journal]);
  t.is((await sh(xeno.at("m"), "cat kept later; ls")).stdout, "before\nafter\netc\nkept\nlater");
  t.is(await again.end(), 0);
});
