/** Where the changes of a mount, an export or a build go. */
import { randomUUID } from "node:crypto";
import fs from "node:fs/promises";
import path from "node:path";
import { XenoError } from "../../cowfs/errors.ts";
import type { Home } from "./home.ts";

/** The journal that the user named, or a new one in `$XENO_HOME`. */
export function chooseJournal(home: Home, named: string | undefined): string {
  return path.resolve(named ?? home.at("journals", randomUUID()));
}

/** Runs `begin`; where that fails, a journal that was not there before is not there after: it holds nothing. */
export async function beginWithJournal<T>(journal: string, begin: () => Promise<T>): Promise<T> {
  const wasThere = await exists(journal);
  try {
    return await begin();
  } catch (error) {
    // In use: somebody else has made it since.
    const isOthers = error instanceof XenoError && error.code === "in-use";
    if (!wasThere && !isOthers) await fs.rm(journal, { recursive: true, force: true });
    throw error;
  }
}

/** Throws `journal-exists`. */
export async function requireNewJournal(journal: string): Promise<void> {
  if (!(await exists(journal))) return;
  throw new XenoError("journal-exists", `${journal} is there already`, {
    hint: "Name another directory, or remove that one.",
  });
}

async function exists(file: string): Promise<boolean> {
  return await fs.stat(file).then(
    () => true,
    () => false,
  );
}
