/**
 * Which kernel modules a module needs, read from the modules themselves.
 *
 * Debian's kernel packages hold no modules.dep (depmod makes it at installation), but each module names what it
 * depends on in its ELF section `.modinfo` (`depends=a,b`; see modinfo(8) and elf(5)).
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { XenoError } from "../../cowfs/errors.ts";

/**
 * The files of the wanted modules and of all they depend on, each after what it needs: the order in which insmod(8)
 * loads them. `directory` is lib/modules/VERSION. Modules that are built into the kernel take no file.
 */
export async function resolveModules(directory: string, wanted: readonly string[]): Promise<string[]> {
  const files = await readNames(directory, "modules.order");
  const builtIn = await readNames(directory, "modules.builtin");
  const ordered = new Set<string>();
  const visit = async (name: string): Promise<void> => {
    const file = files.get(name);
    if (file === undefined) {
      if (builtIn.has(name)) return;
      throw new XenoError("kernel-module-missing", `the kernel in ${directory} has no module ${name}`, {
        hint: "use another kernel package; linux-image-amd64 has every module",
      });
    }
    const path = join(directory, file);
    if (ordered.has(path)) return;
    for (const dependency of readDependencies(await readFile(path), path)) await visit(dependency);
    ordered.add(path);
  };
  for (const name of wanted) await visit(normalize(name));
  return [...ordered];
}

async function readNames(directory: string, list: string): Promise<Map<string, string>> {
  const lines = (await readFile(join(directory, list), "utf8")).split("\n").filter((line) => line !== "");
  return new Map(lines.map((line) => [normalize(line.replace(/^.*\//, "").replace(/\.ko$/, "")), line]));
}

function normalize(name: string): string {
  return name.replaceAll("-", "_");
}

/** The names in `depends=` of a 64-bit little-endian relocatable ELF file. */
export function readDependencies(elf: Buffer, path: string): string[] {
  const section = findSection(elf, ".modinfo", path).toString("latin1");
  const depends = section.split("\0").find((field) => field.startsWith("depends="));
  return (depends?.slice("depends=".length) ?? "")
    .split(",")
    .filter((name) => name !== "")
    .map(normalize);
}

const sectionHeaderBytes = 64;

function findSection(elf: Buffer, name: string, path: string): Buffer {
  const damaged = () => new XenoError("kernel-module-damaged", `${path} is not a kernel module of a 64-bit PC`);
  if (elf.length < 64 || elf.readUInt32BE(0) !== 0x7f454c46 || elf[4] !== 2 || elf[5] !== 1) throw damaged();
  const table = Number(elf.readBigUInt64LE(40));
  const count = elf.readUInt16LE(60);
  const nameSection = elf.readUInt16LE(62);
  if (table + count * sectionHeaderBytes > elf.length || nameSection >= count) throw damaged();
  const contents = (index: number) => {
    const header = table + index * sectionHeaderBytes;
    const start = Number(elf.readBigUInt64LE(header + 24));
    return elf.subarray(start, start + Number(elf.readBigUInt64LE(header + 32)));
  };
  const names = contents(nameSection);
  for (let index = 0; index < count; index++) {
    const at = elf.readUInt32LE(table + index * sectionHeaderBytes);
    if (names.toString("latin1", at, names.indexOf(0, at)) === name) return contents(index);
  }
  throw damaged();
}
