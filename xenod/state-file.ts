/**
 * Small JSON files that hold what this machine has promised: replaced as a whole, on stable storage before the promise is
 * given, so that whoever is killed at any instant leaves the old text or the new one.
 */
import { mkdir, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { XenoError } from "../cowfs/errors.ts";

let written = 0;

/** `durable` false spares the syncs, for what may be lost with the host. */
export async function writeStateFile(file: string, value: unknown, durable = true): Promise<void> {
  const temporary = `${file}.${process.pid}.${++written}.tmp`;
  try {
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    const handle = await open(temporary, "w", 0o600);
    try {
      await handle.writeFile(`${JSON.stringify(value)}\n`);
      if (durable) await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, file);
    if (durable) await syncDirectory(dirname(file));
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => {});
    throw new XenoError("state-unwritable", `cannot write ${file}: ${(cause as Error).message}`, {
      hint: "free disk space under $XENO_HOME, or mend the disk",
      cause,
    });
  }
}

/** The value, or undefined where there is no such file. What it holds is our own: only its `format` is checked. */
export async function readStateFile<T extends { readonly format: number }>(
  file: string,
  format: T["format"],
): Promise<T | undefined> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new XenoError("state-unreadable", `cannot read ${file}: ${(cause as Error).message}`, { cause });
  }
  try {
    const value = JSON.parse(text) as T;
    if (value.format > format) throw new Error(`it has format ${value.format}, and this program knows up to ${format}`);
    return value;
  } catch (cause) {
    throw new XenoError("state-damaged", `${file} is no state of ours: ${(cause as Error).message}`, {
      hint: "move it away and look at what it was; a newer XenoServer may have written it",
      cause,
    });
  }
}

/** Gone for good once this settles. Missing is fine. */
export async function removeStateFile(file: string): Promise<void> {
  await rm(file, { force: true });
  await syncDirectory(dirname(file));
}

/**
 * The names (without `.json`) of the state files of a directory. What a killed writer left is removed, unless they are another
 * process's, which may be writing.
 */
export async function listStateFiles(directory: string, { isOwn = true } = {}): Promise<string[]> {
  const files = await readdir(directory).catch(() => []);
  for (const file of files) if (isOwn && file.endsWith(".tmp")) await rm(join(directory, file), { force: true });
  return files.filter((file) => file.endsWith(".json")).map((file) => file.slice(0, -".json".length));
}

export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, "r").catch((error) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  try {
    await handle?.sync();
  } finally {
    await handle?.close();
  }
}
