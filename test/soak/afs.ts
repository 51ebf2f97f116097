/**
 * `npm run soak -- afs`: layers of a real AFS. Debian's OpenAFS serves a cell and mounts it (afs-cell.sh), and the rules of layers run
 * over a directory of it (afs-rules.ts). The packages are fetched once and unpacked beside the tests' other caches: nothing is installed.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { runRounds, type Soak, type SoakRun } from "./soak.ts";

const packages = [
  ...[
    "openafs-fuse",
    "openafs-client",
    "openafs-dbserver",
    "openafs-fileserver",
    "libfuse2",
    "libncurses6",
    "libsqlite3-0",
  ],
  ...["hcrypto5", "roken19", "asn1-8", "heimbase1", "krb5-26", "wind0", "hx509-5", "heimntlm0"].map(
    (name) => `lib${name}-heimdal`,
  ),
];
const cellScript = fileURLToPath(new URL("afs-cell.sh", import.meta.url));
const rules = fileURLToPath(new URL("afs-rules.ts", import.meta.url));
const namespaces = ["--mount", "--net", "--uts", "--pid", "--fork", "--kill-child"];
const deadlineMs = 900_000;

export const afs: Soak = {
  about: "the rules of layers over a directory of a real AFS: Debian's OpenAFS, servers and client",
  minutes: 1,
  run: (run) => runRounds(run, (_seed, count) => runRules(run, count)),
};

async function runRules(run: SoakRun, count: (what: string) => void): Promise<void> {
  const directory = await fetchPackages(run.signal);
  const words = ["bash", cellScript, directory, process.execPath, "--no-warnings", rules];
  const signal = AbortSignal.any([run.signal, AbortSignal.timeout(deadlineMs)]);
  const child = spawn("unshare", [...namespaces, ...words], {
    stdio: ["ignore", "pipe", "inherit"],
    signal,
    killSignal: "SIGKILL",
  });
  const ended = new Promise<number | null>((resolve, reject) => child.once("error", reject).once("close", resolve));
  const lines: string[] = [];
  for await (const line of createInterface(child.stdout!)) {
    if (!line.startsWith("afs: ")) continue;
    lines.push(line);
    process.stderr.write(`${line}\n`);
    if (!line.startsWith("afs: FAILED")) count("rules");
  }
  const status = await ended;
  if (status !== 0) throw new Error(`the cell ended with ${status}\n${lines.join("\n")}`);
}

/** The directory that has them unpacked in `packages`. */
async function fetchPackages(signal: AbortSignal): Promise<string> {
  const cache = process.env.XENO_TEST_CACHE ?? join(tmpdir(), "xeno-test-cache");
  const directory = join(cache, "openafs");
  if (existsSync(directory)) return directory;
  await mkdir(cache, { recursive: true });
  const fetched = await mkdtemp(join(cache, "openafs-"));
  try {
    const unpacked = join(fetched, "packages");
    const options = { cwd: fetched, cancelSignal: signal };
    await execa("apt-get", ["download", "-q", ...packages], options);
    const files = (await readdir(fetched)).filter((name) => name.endsWith(".deb"));
    for (const file of files) await execa("dpkg-deb", ["--extract", file, unpacked], options);
    for (const file of files) await rm(join(fetched, file));
    // The machine's own are links to these.
    for (const name of ["bin", "lib", "sbin"]) {
      if (!existsSync(join(unpacked, name))) continue;
      await cp(join(unpacked, name), join(unpacked, "usr", name), { recursive: true, verbatimSymlinks: true });
      await rm(join(unpacked, name), { recursive: true });
    }
    await rename(fetched, directory);
  } finally {
    await rm(fetched, { recursive: true, force: true });
  }
  return directory;
}
