import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { execa } from "execa";
import { writeArchive } from "../../../templates/kernel/archive.ts";
import { buildKernel } from "../../../templates/kernel/build-kernel.ts";
import { readDependencies, resolveModules } from "../../../templates/kernel/modules.ts";
import { extractKernel } from "../../../templates/kernel/uncompressed-kernel.ts";
import { openCachedKernel, openCachedPackage } from "./cached-kernel.ts";

const signal = AbortSignal.timeout(120_000);

async function makeScratch(t: { teardown(run: () => unknown): void }): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "xeno-kernel-test-"));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

test("an archive holds what it was given, as another cpio reads it", async (t) => {
  const data = Buffer.from("some bytes, not a multiple of four");
  const archive = writeArchive([
    { path: "bin", kind: "directory" },
    { path: "bin/tool", kind: "file", mode: 0o755, data },
    { path: "bin/link", kind: "symlink", target: "tool" },
    { path: "console", kind: "character", major: 5, minor: 1 },
  ]);
  const { stdout } = await execa("busybox", ["cpio", "-tv"], { input: archive });
  t.deepEqual(
    stdout.split("\n").map((line) => line.replaceAll(/ +/g, " ").replace(/ 1970-\S+ \S+ /, " ")),
    [
      "drwxr-xr-x 0/0 0 bin",
      "-rwxr-xr-x 0/0 34 bin/tool",
      "lrwxrwxrwx 0/0 0 bin/link -> tool",
      "crw------- 0/0 0 console",
    ],
  );
  const scratch = await makeScratch(t);
  await execa("busybox", ["cpio", "-i", "bin", "bin/tool"], { input: archive, cwd: scratch });
  t.deepEqual(await readFile(join(scratch, "bin/tool")), data);
});

test("a module comes after all that it depends on, once; what is built in takes no file", async (t) => {
  const scratch = await makeScratch(t);
  await execa("dpkg-deb", ["-x", await openCachedPackage(signal), scratch]);
  const modules = join(scratch, "lib/modules");
  const directory = join(modules, (await readdir(modules))[0]);
  const files = await resolveModules(directory, ["nfsv3", "virtio-net", "nfs", "pvpanic"]);
  const names = files.map((file) => file.replace(/^.*\//, ""));
  t.is(new Set(names).size, names.length);
  for (const [index, file] of files.entries()) {
    for (const needed of readDependencies(await readFile(file), file)) {
      const place = names.findIndex((name) => name.replaceAll("-", "_") === `${needed}.ko`);
      t.true(place >= 0 && place < index, `${needed} before ${names[index]}`);
    }
  }
  t.deepEqual(await resolveModules(directory, ["unix"]), []);
  await t.throwsAsync(resolveModules(directory, ["no_such_module"]), { code: "kernel-module-missing" });
});

test("a kernel template is the same bytes for the same package, and says what it is", async (t) => {
  const scratch = await makeScratch(t);
  const cached = await openCachedKernel();
  const outputDirectory = join(scratch, "kernel");
  const steps: string[] = [];
  const built = await buildKernel({
    package: await openCachedPackage(signal),
    outputDirectory,
    signal,
    onProgress: (step) => steps.push(step),
  });
  t.regex(built.version, /^\d+\.\d+\.\d+-\d+-cloud-amd64$/);
  t.true(steps.length >= 3);
  for (const file of await readdir(cached.directory)) {
    t.true((await readFile(join(cached.directory, file))).equals(await readFile(join(outputDirectory, file))), file);
  }
  t.deepEqual((await readdir(scratch)).sort(), ["kernel"]);
});

test("the initramfs's init is a script that busybox's shell accepts", async (t) => {
  const init = new URL("../../../templates/kernel/init.sh", import.meta.url).pathname;
  await t.notThrowsAsync(execa("busybox", ["sh", "-n", init]));
});

test("what holds no kernel is refused, and nothing is left", async (t) => {
  const scratch = await makeScratch(t);
  for (const image of [Buffer.alloc(0), Buffer.alloc(0x1000), Buffer.from("MZ".padEnd(5000, "x"))]) {
    await t.throwsAsync(extractKernel(image, signal), { code: "kernel-unreadable" });
  }
  const cut = Buffer.alloc(0x1000);
  cut.write("HdrS", 0x202);
  cut.writeUInt16LE(0x20f, 0x206);
  cut.writeUInt32LE(0xffffffff, 0x24c);
  await t.throwsAsync(extractKernel(cut, signal), { code: "kernel-unreadable" });
  t.throws(() => readDependencies(Buffer.from("\x7fELF".padEnd(100, "\xff"), "latin1"), "x.ko"), {
    code: "kernel-module-damaged",
  });
  const busybox = join(scratch, "busybox");
  await writeFile(busybox, "/lib64/ld-linux-x86-64.so.2");
  const outputDirectory = join(scratch, "kernel");
  const dynamic = buildKernel({ package: await openCachedPackage(signal), outputDirectory, signal, busybox });
  await t.throwsAsync(dynamic, { code: "busybox-missing" });
  await t.throwsAsync(buildKernel({ package: "bash", outputDirectory, signal }), { code: "kernel-package-unknown" });
  await t.throwsAsync(buildKernel({ outputDirectory, signal: AbortSignal.abort() }));
  t.deepEqual(await readdir(scratch), ["busybox"]);
});
