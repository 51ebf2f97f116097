/** Images as umoci and skopeo of Debian write them, and layers as a hostile or odd tool could. */
import { createHash } from "node:crypto";
import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { gzipSync } from "node:zlib";
import test, { type ExecutionContext } from "ava";
import { execa } from "execa";
import type { TreeNode } from "../../../../cowfs/trees/node.ts";
import { importImage } from "../../../../templates/import/oci/import-image.ts";
import { at, MemorySink } from "../memory-sink.ts";
import { type Member, packTar } from "../pack.ts";

async function makeDirectory(t: ExecutionContext): Promise<string> {
  const directory = await fs.mkdtemp(path.join(os.tmpdir(), "xeno-oci-"));
  t.teardown(() => fs.rm(directory, { recursive: true, force: true }));
  return directory;
}

async function sh(cwd: string, script: string): Promise<void> {
  await execa("sh", ["-ec", script], { cwd, stdin: "ignore", timeout: 120_000 });
}

async function importFrom(directory: string, name?: string): Promise<{ root: TreeNode; sink: MemorySink }> {
  const sink = new MemorySink();
  return { root: await importImage({ directory, name }, sink), sink };
}

/** Every path of a tree, with what it is. */
function list(node: TreeNode, prefix = ""): string[] {
  return [...(node.children ?? [])].sort().flatMap(([name, child]) => {
    if (child === "whiteout") return [`${prefix}${name} whiteout`];
    if (child.children !== undefined) return [`${prefix}${name}/`, ...list(child, `${prefix}${name}/`)];
    return [child.target === undefined ? `${prefix}${name}` : `${prefix}${name} -> ${child.target}`];
  });
}

const buildImage = `
umoci init --layout image
umoci new --image image:v1
umoci unpack --image image:v1 bundle
cd bundle/rootfs
mkdir -p usr/bin etc/old var/log
ln -s usr/bin bin
echo one > usr/bin/tool; chmod 4755 usr/bin/tool
ln usr/bin/tool usr/bin/again
echo a > etc/kept; echo b > etc/removed; echo c > etc/old/file; mknod null c 1 3; chown 7:8 etc/kept
setfattr -n user.note -v yes etc/kept || true
cd ../..
umoci repack --image image:v1 --refresh-bundle bundle
cd bundle/rootfs
rm -r etc/removed etc/old; mkdir etc/old; echo new > etc/old/other; echo two > usr/bin/second; echo changed > etc/kept
cd ../..
umoci repack --image image:v2 bundle
`;

test("an image of several layers by umoci is what its bundle shows, and so are copies by skopeo", async (t) => {
  const directory = await makeDirectory(t);
  await sh(directory, buildImage);
  const { root, sink } = await importFrom(`${directory}/image`, "v2");
  const expected = [
    "bin -> usr/bin",
    "etc/",
    "etc/kept",
    "etc/old/",
    "etc/old/other",
    "null",
    "usr/",
    "usr/bin/",
    "usr/bin/again",
    "usr/bin/second",
    "usr/bin/tool",
    "var/",
    "var/log/",
  ];
  t.deepEqual(list(root), expected);
  t.like(at(root, "etc/kept"), { uid: 7, gid: 8 });
  t.is(sink.read(at(root, "etc/kept")).toString(), "changed\n");
  t.like(at(root, "usr/bin/tool"), { mode: 0o104755 });
  t.is(at(root, "usr/bin/tool"), at(root, "usr/bin/again"));
  t.like(at(root, "null"), { mode: 0o20644, deviceMajor: 1, deviceMinor: 3 });
  t.true(list((await importFrom(`${directory}/image`, "v1")).root).includes("etc/removed"));
  await t.throwsAsync(importFrom(`${directory}/image`), { code: "image-refused", message: /several images/ });
  await t.throwsAsync(importFrom(`${directory}/image`, "v3"), { code: "image-refused", message: /no image v3/ });

  for (const format of ["gzip", "zstd"]) {
    await sh(
      directory,
      `skopeo --insecure-policy copy --dest-compress-format ${format} oci:image:v2 oci:copy-${format}:latest`,
    );
    t.deepEqual(list((await importFrom(`${directory}/copy-${format}`)).root), expected, format);
  }
});

const mediaType = "application/vnd.oci.image.layer.v1.tar+gzip";
const manifestType = "application/vnd.oci.image.manifest.v1+json";

/** A layout of our own making, with one image of these layers. */
async function writeImage(
  t: ExecutionContext,
  layers: readonly (readonly Member[])[],
  change: { platform?: object } = {},
) {
  const directory = await makeDirectory(t);
  await fs.mkdir(path.join(directory, "blobs/sha256"), { recursive: true });
  const put = async (bytes: Buffer, type: string) => {
    const hex = createHash("sha256").update(bytes).digest("hex");
    await fs.writeFile(path.join(directory, "blobs/sha256", hex), bytes);
    return { mediaType: type, digest: `sha256:${hex}`, size: bytes.length };
  };
  const blobs = [];
  for (const members of layers) blobs.push(await put(gzipSync(await packTar(members)), mediaType));
  const manifest = await put(Buffer.from(JSON.stringify({ schemaVersion: 2, layers: blobs })), manifestType);
  await fs.writeFile(path.join(directory, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  const manifests = [{ ...manifest, ...change }];
  await fs.writeFile(path.join(directory, "index.json"), JSON.stringify({ schemaVersion: 2, manifests }));
  return { directory, blobs };
}

const file = (name: string, content = name): Member => ({ name, content });
const directory = (name: string): Member => ({ name, type: "directory" });
const link = (name: string, linkname: string): Member => ({ name, type: "symlink", linkname });

for (const [what, layers, shown] of [
  [
    "a whiteout removes a file and a whole directory",
    [
      [directory("d"), file("d/a"), file("b")],
      [file(".wh.d", ""), file(".wh.b", "")],
    ],
    [],
  ],
  [
    "a whiteout spares what its own layer brings, whichever comes first",
    [
      [file("d/a"), file("e")],
      [file("d/new"), file(".wh.d", ""), file(".wh.e", ""), file("e")],
    ],
    ["d/", "d/new", "e"],
  ],
  [
    "an opaque mark hides what is below, and not what its layer brings",
    [
      [file("d/a"), file("d/s/b")],
      [file("d/s/c"), file("d/.wh..wh..opq", ""), file("d/x")],
    ],
    ["d/", "d/s/", "d/s/c", "d/x"],
  ],
  [
    "a hard link to a lower layer's file survives the whiteout of that file",
    [[file("a")], [{ name: "b", type: "link", linkname: "a" }, file(".wh.a", "")]],
    ["b"],
  ],
  [
    "a file replaces a directory, a directory a file",
    [
      [file("a/x"), file("b")],
      [file("a"), directory("b"), file("b/y")],
    ],
    ["a", "b/", "b/y"],
  ],
  [
    "members go through a lower layer's links, absolute ones too, and never out",
    [
      [directory("usr/lib"), link("lib", "usr/lib"), link("abs", "/usr"), link("out", "../../../usr")],
      [file("lib/a"), file("abs/b"), file("out/c")],
    ],
    ["abs -> /usr", "lib -> usr/lib", "out -> ../../../usr", "usr/", "usr/b", "usr/c", "usr/lib/", "usr/lib/a"],
  ],
  ["a whiteout of nothing is nothing", [[file("a")], [file("x/.wh.b", ""), file(".wh.c", "")]], ["a"]],
] as const)
  test(`layers: ${what}`, async (t) => {
    const { directory } = await writeImage(t, layers);
    t.deepEqual(list((await importFrom(directory)).root), shown as unknown as string[]);
  });

for (const [what, layers, message] of [
  ["a name that leads out", [[file("../a")]], /\.\./],
  ["a member below a file", [[file("a")], [file("a/b")]], /not a directory/],
  ["links that end nowhere", [[link("a", "b"), link("b", "a")], [file("a/x")]], /too many symbolic links/],
  ["a hard link to nothing", [[{ name: "a", type: "link", linkname: "b" } as Member]], /not there/],
] as const)
  test(`an image is refused for ${what}`, async (t) => {
    const { directory } = await writeImage(t, layers);
    await t.throwsAsync(importFrom(directory), { code: "tar-refused", message });
  });

test("a layout that is damaged, for another machine, or none at all is refused by what is wrong with it", async (t) => {
  const { directory, blobs } = await writeImage(t, [[file("a", "x".repeat(5000))]]);
  const blob = path.join(directory, "blobs/sha256", blobs[0].digest.slice("sha256:".length));
  const bytes = await fs.readFile(blob);
  const reasons = async (message: RegExp) =>
    await t.throwsAsync(importFrom(directory), { code: "image-refused", message });
  // A bit of gzip's header that no reader looks at: only the digest tells.
  await fs.writeFile(blob, Buffer.concat([bytes.subarray(0, 9), Buffer.from([bytes[9] ^ 1]), bytes.subarray(10)]));
  await reasons(/damaged/);
  await fs.writeFile(blob, Buffer.concat([bytes, Buffer.alloc(10)]));
  await reasons(/damaged/);
  await fs.rm(blob);
  await reasons(/cannot be read/);
  await fs.writeFile(path.join(directory, "index.json"), '{"manifests":[{"digest":"sha256:../../etc"}]}');
  await reasons(/index\.json is not what it should be/);
  await fs.writeFile(path.join(directory, "oci-layout"), '{"imageLayoutVersion":"2.0.0"}');
  await reasons(/version 2/);
  await fs.rm(path.join(directory, "oci-layout"));
  await reasons(/no oci-layout/);
  const other = await writeImage(t, [[file("a")]], { platform: { os: "linux", architecture: "riscv64" } });
  await t.throwsAsync(importFrom(other.directory), { code: "image-refused", message: /linux\/amd64/ });
});
