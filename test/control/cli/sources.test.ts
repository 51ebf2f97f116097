/** What is read from tarballs, directories and stores is hostile: refused or found out, and nothing is lost. */
import { mkdir, open, readdir } from "node:fs/promises";
import { join } from "node:path";
import test from "ava";
import { execa } from "execa";
import { makeXeno, poll, type Xeno } from "./xeno.ts";

/** A mount's reader must be another process. */
async function read(file: string): Promise<string> {
  const { stdout, stderr, failed } = await execa("cat", [file], { reject: false, timeout: 120_000 });
  return failed ? stderr : stdout;
}

async function flipBytes(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    const file = await open(join(directory, name), "r+");
    const { size } = await file.stat();
    // In the middle: of the packed content, and of an index's tables.
    await file.write(Buffer.alloc(8, 0xa5), 0, 8, Math.floor(size / 2));
    await file.close();
  }
}

test("a tarball with names or links that lead out is refused by member and reason, and is no template", async (t) => {
  const xeno = await makeXeno(t);
  await xeno.importFiles("good", { "etc/motd": "hello\n" });
  await xeno.write("in", { file: "content\n" });
  const pack = (name: string, ...how: string[]) =>
    execa("tar", ["--create", "--file", xeno.at(name), "--absolute-names", "--directory", xeno.at("in"), ...how]);
  await execa("ln", [xeno.at("in/file"), xeno.at("in/hard")]);
  await pack("up.tar", "--transform=s,^,../,", "file");
  await pack("absolute.tar", "--transform=s,^,/etc/,", "file");
  await pack("link.tar", "--transform=flags=h;s,^,../../etc/,", "file", "hard");
  await xeno.write(".", { "junk.tar": Buffer.alloc(5000, 7) });
  for (const [name, message] of [
    ["up.tar", /^\.\.\/file: .*`\.\.`/],
    ["absolute.tar", /^\/etc\/file: .*absolute/],
    ["link.tar", /^hard: /],
    ["junk.tar", /first member/],
  ] as const) {
    const error = await xeno.fail(["template", "import", "evil", "--tar", xeno.at(name)]);
    t.is(error.code, "tar-refused", name);
    t.regex(error.message, message, name);
  }
  t.is((await xeno.fail(["template", "import", "evil", "--tar", "/nowhere.tar"])).code, "file-missing");
  t.is((await xeno.fail(["template", "import", "evil", "--directory", "/nowhere"])).code, "import-failed");
  const listed = await xeno.json("template", "ls");
  t.deepEqual(
    listed.map(({ url }: { url: string }) => url.split("/")[2]),
    ["good"],
  );
});

test("an object that fails verification is named, and nobody sees its bytes", async (t) => {
  const xeno: Xeno = await makeXeno(t);
  const url = await xeno.importFiles("small", { "etc/motd": "hello\n".repeat(500) });
  await mkdir(xeno.at("m"));
  await flipBytes(join(xeno.home, "store/packs"));
  const mounted = await xeno.start(["mount", url, xeno.at("m")]);
  t.regex(await read(xeno.at("m/etc/motd")), /Input\/output error/);
  await poll("the object's name", () => /object packs\/[0-9a-f]{64} in .* is damaged/.test(mounted.stderr()));
  t.is(await mounted.end(), 0);
  await flipBytes(join(xeno.home, "store/trees"));
  await execa("rm", ["-r", join(xeno.home, "cache")]);
  const error = await xeno.fail(["mount", url, xeno.at("m")]);
  t.is(error.code, "object-damaged");
  t.regex(error.message, /^object trees\/[0-9a-f]{64} in .* does not have the hash that names it/);
});
