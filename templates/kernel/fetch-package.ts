/**
 * Gets a kernel package of Debian's, by apt's own means: apt checks the archive's signature and the package's hash.
 */
import { readdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { execa } from "execa";
import { XenoError } from "../../cowfs/errors.ts";

/**
 * Downloads the package into `directory`; returns its file. A name such as linux-image-cloud-amd64 that only stands for the
 * current version is followed to the package that holds the kernel.
 */
export async function fetchKernelPackage(name: string, directory: string, signal: AbortSignal): Promise<string> {
  const run = async (command: string, options: string[]): Promise<string> => {
    const { stdout } = await execa(command, options, {
      cwd: directory,
      cancelSignal: signal,
      env: { LC_ALL: "C" },
    }).catch((cause) => {
      signal.throwIfAborted();
      throw new XenoError("kernel-package-unavailable", `${name} cannot be fetched: ${cause.shortMessage}`, {
        hint: "run `apt-get update` and look at the machine's network and package sources",
        cause,
      });
    });
    return stdout;
  };
  const shown = await run("apt-cache", ["show", "--no-all-versions", name]);
  const depends = /^Depends: (.*)$/m.exec(shown)?.[1] ?? "";
  const versioned = /^linux-image-\d/.test(name) ? name : /\blinux-image-\d[\w.+-]*/.exec(depends)?.[0];
  if (versioned === undefined) {
    throw new XenoError("kernel-package-unknown", `${name} is not a kernel package of Debian's`, {
      hint: "name linux-image-cloud-amd64, linux-image-amd64 or a package that one of them depends on",
    });
  }
  await run("apt-get", ["download", "-q", versioned]);
  const file = (await readdir(directory)).find((entry) => entry.startsWith(`${versioned}_`) && entry.endsWith(".deb"));
  if (file === undefined) throw new XenoError("kernel-package-unavailable", `apt-get left no package of ${versioned}`);
  return resolve(join(directory, file));
}
