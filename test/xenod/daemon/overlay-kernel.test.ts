import { readdir, readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import test from "ava";
import { openLayers } from "../../../templates/layers/open-layers.ts";
import { KernelImages } from "../../../xenod/daemon/kernel-images.ts";
import { readTrust } from "../../../xenostore/keys/key-ring.ts";
import { makeStore, publishFiles } from "../published.ts";

const { signal } = new AbortController();
const configuration = (kernel: string) =>
  JSON.stringify({ format: 1, kernel, initramfs: "initramfs", commandLine: "quiet" });

test("kernels come out of a tree's root or of a directory of it, each for itself", async (t) => {
  const published = await makeStore(t);
  const files = {
    ...{ "config.json": configuration("vmlinux"), vmlinux: "root's", initramfs: "i" },
    ...{ "boot/xeno/config.json": configuration("bzImage"), "boot/xeno/bzImage": "own", "boot/xeno/initramfs": "j" },
    "boot/file": "",
  };
  const url = await publishFiles(published, "service", files);
  const { store, trustDirectory, directory } = published;
  const layers = openLayers({ store, trust: readTrust(trustDirectory), cacheDirectory: join(directory, "cache") });
  t.teardown(() => layers.close());
  const { tree } = await layers.resolveUrl(url);
  const openAlone = (cacheDirectory: string) => openLayers({ store, trust: readTrust(trustDirectory), cacheDirectory });
  const images = new KernelImages(join(directory, "kernels"), layers, openAlone);
  // A file server that serves the overlay's domains has it open, in the cache that it shares with Xenod.
  const fileServers = openAlone(join(directory, "cache"));
  await fileServers.open(url, tree, signal);
  const own = await images.prepare(url, tree, signal, "/boot/xeno");
  t.is(await readFile(own.kernel, "utf8"), "own");
  t.is(await readFile(own.initramfs, "utf8"), "j");
  await fileServers.close();
  const roots = await images.prepare(url, tree, signal);
  t.is(await readFile(roots.kernel, "utf8"), "root's");
  t.deepEqual(
    (await readdir(join(directory, "kernels"))).sort(),
    [tree, basename(dirname(own.kernel))],
    "no cache stays",
  );
  t.deepEqual(await images.prepare(url, tree, signal, "/boot/xeno"), own);
  for (const folder of ["/boot/none", "/boot/file", "/boot/file/below", "/../boot/xeno"])
    await t.throwsAsync(images.prepare(url, tree, signal, folder), {
      code: "kernel-unusable",
      message: `${url} is no kernel template: it has no directory ${folder}`,
    });
  await t.throwsAsync(images.prepare(url, tree, signal, "/boot"), { message: /no config\.json/ });
});
