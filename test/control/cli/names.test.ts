/** Names, URLs, keys and refs that cannot be honoured: one clear line each. */
import { existsSync } from "node:fs";
import { copyFile, mkdir } from "node:fs/promises";
import { join } from "node:path";
import test from "ava";
import { makeXeno, type Xeno } from "./xeno.ts";

let xeno: Xeno;
const cleanup = new AsyncDisposableStack();

test.before(async () => {
  xeno = await makeXeno({ teardown: (act) => cleanup.defer(async () => void (await act())) });
  await xeno.newKey("demo");
  await xeno.importFiles("small", { "etc/motd": "hello\n" });
  await xeno.json("publish", await xeno.write("overlay", { greeting: "hi\n" }), "xenostore://demo/tiny");
});

// Each of them, also where one fails.
test.after.always(() => cleanup.disposeAsync());

test("an unknown scheme, template or overlay is told with near names", async (t) => {
  const mountPoint = await xeno
    .write("mount-point", { "../beside": "" })
    .then(() => xeno.write(".", { "m/.keep": "" }));
  t.truthy(mountPoint);
  for (const [args, code, message, hint] of [
    [["template", "resolve", "template://smal/current"], "template-unknown", /smal/, /did you mean template:\/\/small/],
    [
      ["mount", "xenostore://demo/tinny", xeno.at("m"), "--journal", xeno.at("none")],
      "overlay-unknown",
      /demo\/tinny/,
      /xenostore:\/\/demo\/tiny/,
    ],
    [
      ["serve", "ftp://host/path", "--listen", "127.0.0.1:0", "--journal", xeno.at("none")],
      "scheme-unknown",
      /ftp:\/\/host/,
      /template:\/\//,
    ],
    [
      ["serve", "nfs://host/path", "--listen", "127.0.0.1:0", "--journal", xeno.at("none")],
      "layer-forbidden",
      /nfs:\/\/host/,
      /--allow-layer/,
    ],
    [["publish", xeno.at("overlay"), "xenostore://demo"], "overlay-name", /names no overlay/, /OWNER\/NAME/],
    [["template", "resolve", "template://small"], "template-name", /has no version/, /NAME\/VERSION/],
  ] as const) {
    const error = await xeno.fail(args);
    t.is(error.code, code);
    t.regex(error.message, message);
    t.regex(error.hint!, hint);
  }
  t.is((await xeno.fail(["template", "ls", "--store", xeno.at("stor")])).code, "store-unavailable");
  t.false(existsSync(xeno.at("none")), "no journal is made for nothing");
});

test("a missing, untrusted or exchanged signature is told, and how to trust it", async (t) => {
  const overlay = xeno.at("overlay");
  t.is((await xeno.fail(["publish", overlay, "xenostore://nobody/x"])).code, "key-missing");
  t.is((await xeno.fail(["key", "trust", "demo", "ed25519:short"])).code, "key-unusable");
  t.is((await xeno.fail(["key", "new", "demo"])).code, "key-exists");
  await xeno.json("key", "new", "other");
  await xeno.json("publish", overlay, "xenostore://demo/forged", "--key", "other");
  const untrusted = await xeno.fail(["template", "resolve", "xenostore://demo/forged"]);
  t.is(untrusted.code, "ref-untrusted");
  t.regex(untrusted.hint!, /xeno key trust demo/);
  const [other] = (await xeno.json("key", "ls")).filter((key: { name: string }) => key.name === "other");
  await xeno.json("key", "trust", "demo", other.publicKey);
  t.is((await xeno.json("template", "resolve", "xenostore://demo/forged")).url, "xenostore://demo/forged");
  const refs = join(xeno.home, "store/refs/demo");
  await copyFile(join(refs, "tiny/current"), join(refs, "forged/current"));
  const exchanged = await xeno.fail(["template", "resolve", "xenostore://demo/forged"]);
  t.is(exchanged.code, "ref-damaged");
  t.regex(exchanged.message, /signed for demo\/tiny/);
});

test("what XenoServers there are not is told before anything is asked of them", async (t) => {
  for (const args of [
    ["deploy", "xenostore://demo/tiny", "--on", "a"],
    ["forward", "a/tiny", "0:80"],
  ]) {
    const { code, hint } = await xeno.fail(args);
    t.is(code, "server-unknown", args[0]);
    t.regex(hint!, /xeno server run --name a/);
  }
  t.deepEqual(await xeno.json("ps"), []);
});

test("a `.mount` that cannot be honoured is told with file, line and reason, by mount and by serve", async (t) => {
  await mkdir(xeno.at("mp"));
  for (const [name, text, code, message] of [
    ["bad-line", ".\n\ngarbage here\n", "mount-malformed", /\/\.mount:3: 'garbage'/],
    ["bad-layer", ".\nro template://smal/current\n", "mount-refused", /\/\.mount:2: .*no template:\/\/smal\/current/],
  ] as const) {
    await xeno.json("publish", await xeno.write(name, { ".mount": text }), `xenostore://demo/${name}`);
    for (const args of [
      ["mount", `xenostore://demo/${name}`, xeno.at("mp")],
      ["serve", `xenostore://demo/${name}`, "--listen", "127.0.0.1:0"],
    ]) {
      const error = await xeno.fail(args);
      t.is(error.code, code);
      t.regex(error.message, message);
    }
  }
});
