/** `xeno store` and the names of overlays, on a store in a directory, as a user types them. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import test from "ava";
import { execa } from "execa";
import { makeXeno } from "./xeno.ts";

test("overlays are listed, shown, compared, tagged and removed, and what nobody needs any more is collected", async (t) => {
  const xeno = await makeXeno(t);
  await xeno.newKey("demo");
  const publish = async (version: string, files: Record<string, string>, ...options: string[]) => {
    const folder = await xeno.write(version, files);
    return await xeno.json("publish", folder, `xenostore://demo/app@${version}`, ...options);
  };
  const first = await publish("1", { "etc/a": "same", "etc/b": "one", "etc/gone": "x" });
  const second = await publish("2", { "etc/a": "same", "etc/b": "two", "etc/new": "x" }, "--expires", "30");
  await execa("tar", [
    "--create",
    "--format=posix",
    "--zstd",
    "--file",
    xeno.at("2.tar.zst"),
    "--directory",
    xeno.at("2"),
    ".",
  ]);
  const packed = await xeno.json("publish", xeno.at("2.tar.zst"), "xenostore://demo/packed@1");
  t.is(packed.tree, second.tree, "the same content is the same tree, wherever it comes from");
  t.is((await xeno.json("overlay", "rm", "xenostore://demo/packed")).length, 1);
  t.true(second.reusedChunks >= 2, "the version before is an ancestor");
  const listed = await xeno.json("overlay", "ls");
  t.deepEqual(
    listed.map(({ url, current }: { url: string; current: boolean }) => [url, current]),
    [
      ["xenostore://demo/app@1", false],
      ["xenostore://demo/app@2", true],
    ],
  );
  const shown = await xeno.json("overlay", "show", "xenostore://demo/app");
  t.is(shown.tree, second.tree);
  t.is(Math.round((Date.parse(shown.expires) - Date.parse(shown.created)) / 86_400_000), 30, "days");
  const changes = await xeno.json("overlay", "diff", "xenostore://demo/app@1", "xenostore://demo/app");
  t.deepEqual(
    changes.map(({ sign, path }: { sign: string; path: string }) => `${sign} ${path}`),
    ["~ etc/b", "- etc/gone", "+ etc/new"],
  );
  await xeno.json("overlay", "tag", "xenostore://demo/app@1", "stable");
  t.is((await xeno.json("overlay", "show", "xenostore://demo/app")).tree, first.tree);
  await xeno.json("overlay", "rm", "xenostore://demo/app@2");
  t.is((await xeno.fail(["overlay", "rm", "xenostore://demo/app@2"])).code, "overlay-unknown");
  const dry = await xeno.json("store", "gc", "--dry-run");
  t.true(dry.objects > 0 && dry.keys.includes(`trees/${second.tree}`));
  t.is((await xeno.json("store", "gc", "--grace", "0")).state, "condemned");
  t.like(await xeno.json("store", "gc", "--grace", "0"), { state: "deleted", objects: dry.objects });
  t.is((await xeno.json("overlay", "show", "xenostore://demo/app@stable")).tree, first.tree);
  t.deepEqual(await xeno.json("store", "pins"), []);
  t.is((await xeno.fail(["store", "unpin", "nobody"])).code, "pin-unknown");
});

test("a check names what is damaged and who needs it; repaired and published again, all is well", async (t) => {
  const xeno = await makeXeno(t);
  await xeno.newKey("demo");
  const folder = await xeno.write("files", { a: "content ".repeat(1000) });
  await xeno.json("publish", folder, "xenostore://demo/app@1");
  const [pack] = (await xeno.json("store", "gc", "--dry-run")).keys;
  t.is(pack, undefined, "nothing is garbage");
  const { stdout } = await xeno.run(["store", "check", "--json"]);
  t.like(JSON.parse(stdout), { problems: [] });
  const packs = join(xeno.home, "store/packs");
  const [name] = (await import("node:fs")).readdirSync(packs);
  const bytes = await readFile(join(packs, name));
  bytes[bytes.length >> 1] ^= 1;
  await writeFile(join(packs, name), bytes);
  const checked = await xeno.run(["store", "check", "--repair", "--json"]);
  t.is(checked.code, 3);
  const { problems } = JSON.parse(checked.stdout);
  t.deepEqual(problems[0], { key: `packs/${name}`, kind: "damaged", repaired: true });
  t.true(problems.some(({ neededBy }: { neededBy?: string }) => neededBy === "refs/demo/app/1"));
  await xeno.json("publish", folder, "xenostore://demo/app@1");
  t.is((await xeno.run(["store", "check"])).code, 0);
});

test("a store is chosen once it has answered; one with a password in its name is refused without showing it", async (t) => {
  const xeno = await makeXeno(t);
  t.is((await xeno.fail(["store", "use", "/nowhere/at/all"])).code, "store-unavailable");
  const chosen = xeno.at("chosen");
  await xeno.write("chosen", { x: "" });
  t.like(await xeno.json("store", "use", chosen), { store: chosen, writes: "yes" });
  t.is((await xeno.json("store", "show")).store, chosen);
  for (const url of ["s3://key:s3cret@bucket", "https://me:s3cret@cdn.example/"]) {
    const error = await xeno.fail(["--store", url, "store", "show"]);
    t.is(error.code, "store-url");
    t.notRegex(JSON.stringify(error), /s3cret/);
  }
});
