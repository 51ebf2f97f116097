/**
 * What a Xen domain has in its directory, and on its host, beside the domain itself. Invariant (F1): its specification is there when
 * it was wholly built, and only then: a domain without one is what some xl left half-way, whose Xenod was killed.
 */
import { appendFile, mkdir, readFile, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { XenoError } from "../../../cowfs/errors.ts";
import type { DomainSpecification } from "../hypervisor.ts";
import { composeConfiguration, domainFiles, type GuestType, identify } from "./configuration.ts";

/** Where xenconsoled writes what guests print, if it is told to (`--log=guest`): its default. */
export const recordsDirectory = "/var/log/xen/console";

/** A domain that was wholly built. */
export interface BuiltDomain {
  readonly specification: DomainSpecification;
  readonly type: GuestType;
}

/** Settles when xl can be asked to build the domain. Throws `image-missing`. */
export async function prepareFiles({ specification, type }: BuiltDomain, records: string): Promise<void> {
  const { name, directory, kernel, initramfs } = specification;
  for (const [what, file] of Object.entries({ kernel, initramfs })) {
    await stat(file).catch((cause) => {
      throw new XenoError("image-missing", `domain ${name}: no ${what} at ${file}`, {
        hint: "import the kernel template: xeno template ls",
        cause,
      });
    });
  }
  const files = domainFiles(directory);
  await noteUnbuilt(directory);
  await writeWhole(files.configuration, composeConfiguration(specification, type));
  await appendFile(files.consoleLog, "", { mode: 0o600 });
  // xenconsoled names its records by domain, and appends: so what it writes is in the domain's directory from the first byte.
  await mkdir(records, { recursive: true });
  const record = join(records, nameRecord(specification));
  await rm(record, { force: true });
  await symlink(files.consoleLog, record);
}

/** (F1) */
export async function noteBuilt({ specification, type }: BuiltDomain): Promise<void> {
  const { specification: file } = domainFiles(specification.directory);
  await writeWhole(file, JSON.stringify({ format: 1, specification, type }));
}

/** (F1) It is about to be built anew. */
export async function noteUnbuilt(directory: string): Promise<void> {
  await rm(domainFiles(directory).specification, { force: true });
}

/** Once the domain is gone. What it printed stays. */
export async function removeFiles(name: string, directory: string, records: string): Promise<void> {
  const files = domainFiles(directory);
  await rm(join(records, nameRecord({ name, directory })), { force: true });
  for (const file of [files.specification, files.configuration, files.holder, files.log])
    await rm(file, { force: true });
}

/** In this directory. Before there was a choice, all were PVH. */
export async function readBuilt(directory: string): Promise<BuiltDomain | undefined> {
  const text = await readFile(domainFiles(directory).specification, "utf8").catch(() => undefined);
  if (text === undefined) return undefined;
  const { specification, type = "pvh" } = JSON.parse(text) as Partial<BuiltDomain> & Pick<BuiltDomain, "specification">;
  return { specification, type };
}

function nameRecord({ name, directory }: Pick<DomainSpecification, "name" | "directory">): string {
  return `guest-${identify(name, directory).name}.log`;
}

async function writeWhole(file: string, text: string): Promise<void> {
  await writeFile(`${file}.new`, text, { mode: 0o600 });
  await rename(`${file}.new`, file);
}
