/** The programs that the comparison needs, and the load generator, compiled. */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { XenoError } from "../../cowfs/errors.ts";
import { systemEnvironment } from "../../xenod/system-path.ts";

const sources = new URL("client/", import.meta.url).pathname;
const vfsModules = ["/usr/lib/x86_64-linux-gnu/ganesha/libfsalvfs.so", "/usr/lib/ganesha/libfsalvfs.so"];

/** Debian's package of each thing that must be there. */
const wanted: readonly { readonly package: string; isThere(): boolean }[] = [
  { package: "gcc", isThere: () => isOnPath("gcc") },
  { package: "libc6-dev", isThere: () => existsSync("/usr/include/stdio.h") },
  { package: "libnfs-dev", isThere: () => existsSync("/usr/include/nfsc/libnfs-raw.h") },
  { package: "nfs-ganesha", isThere: () => isOnPath("ganesha.nfsd") },
  { package: "nfs-ganesha-vfs", isThere: () => vfsModules.some(existsSync) },
  { package: "rpcbind", isThere: () => isOnPath("rpcbind") },
  { package: "util-linux", isThere: () => isOnPath("taskset") && isOnPath("unshare") },
  { package: "e2fsprogs", isThere: () => isOnPath("mkfs.ext4") },
];

/** Throws `benchmark-tools` where something is missing, `needs-root` where we may not use it. */
export function requireTools(): void {
  const missing = wanted.filter((tool) => !tool.isThere()).map((tool) => tool.package);
  if (missing.length > 0)
    throw new XenoError("benchmark-tools", `this comparison needs what is missing here: ${missing.join(", ")}`, {
      hint: `run as root, and try again:  apt-get install --no-install-recommends ${missing.join(" ")}`,
    });
  if (process.getuid?.() !== 0)
    throw new XenoError("needs-root", "this comparison mounts file systems and makes namespaces", {
      hint: "run it as root",
    });
}

export async function compileClient(directory: string): Promise<void> {
  const files = readdirSync(sources).filter((name) => name.endsWith(".c"));
  const flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-Wno-missing-field-initializers"];
  const paths = files.map((name) => join(sources, name));
  try {
    await execa("gcc", [...flags, "-o", join(directory, "load"), ...paths, "-lnfs"], { env: systemEnvironment });
  } catch (cause) {
    throw new XenoError("benchmark-tools", `the load generator does not compile: ${(cause as Error).message}`, {
      cause,
    });
  }
}

/** What the peer is, for the report. */
export function readPeerVersions(): string {
  const names = ["nfs-ganesha", "libnfs13"];
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the placeholders are dpkg-query's.
  const { stdout } = spawnSync("dpkg-query", ["-W", "-f", "${Package} ${Version}, ", ...names], { encoding: "utf8" });
  return (stdout ?? "").replace(/, $/, "");
}

function isOnPath(command: string): boolean {
  const folders = (systemEnvironment.PATH ?? "").split(":");
  return folders.some((folder) => existsSync(join(folder, command)));
}
