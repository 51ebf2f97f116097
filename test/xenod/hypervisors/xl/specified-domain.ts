/** A domain as a deployment would have specified it, in a directory of the test's own. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ExecutionContext } from "ava";
import type { DomainSpecification } from "../../../../xenod/hypervisors/hypervisor.ts";

/** `scratch` goes with the test. */
export async function specifyDomain(t: ExecutionContext) {
  const scratch = await mkdtemp(join(tmpdir(), "xeno-xl-"));
  t.teardown(() => rm(scratch, { recursive: true, force: true }));
  const directory = join(scratch, "web");
  await mkdir(directory);
  const kernel = join(scratch, "kernel");
  await writeFile(kernel, "");
  const specification: DomainSpecification = {
    ...{ name: "web", directory, memoryMiB: 128, cpus: 1, kernel, initramfs: kernel, commandLine: "quiet" },
    link: { namespace: "none", tap: "tap0", mac: "02:78:65:6e:00:02" },
  };
  return { scratch, directory, specification };
}
