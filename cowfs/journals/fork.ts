/**
 * Forks: a journal of its own that begins with what another showed at a pin (DESIGN 3, J3).
 *
 * - (F1) A fork is made under another name and synced before it gets its own: it is whole or it is not there.
 * - (F2) It shares with the other journal only files that nobody writes to any more: the pin's checkpoint the segments that
 *   it points at and their checksums, as hard links, or as copies (reflinks where the file system has them) where links cannot be. Each
 *   appends to files of its own. So either may be removed first, and nothing in the other changes.
 * - (F3) A fork that continues the lineage is the same file system as it was at the pin: secrets, file ids, handles, cookies,
 *   write verifier and remembered replies. The pin was synced, so that no write was lost between. One with a new lineage
 *   has the files, but none of the handles, replies or secrets.
 * - (F4) The pins stay with the other journal.
 * - (F5) It begins with the pin's own checkpoint, or with an older one and a copy of the records from there to the pin
 *   (fork-start.ts): opening it replays them. Either way the first record of its own follows the pin in the chain (L1).
 */
import { constants, existsSync } from "node:fs";
import fs from "node:fs/promises";
import path from "node:path";
import { XenoError } from "../errors.ts";
import { ChangeWriter } from "./changes.ts";
import { checkpointPath } from "./checkpoint-file.ts";
import { syncDirectoryLater } from "./disk.ts";
import { type LogPart, linkForkStart } from "./fork-start.ts";
import { createIdentity, type Secrets } from "./identity.ts";
import { formatLogHeader, formatRecord, type LogPosition, logFilePath } from "./log-file.ts";
import { writeFirstMark } from "./mark.ts";
import { type Pin, pinPath } from "./pins.ts";
import { sumsPath } from "./segment-sums.ts";
import { nameSegment } from "./segments.ts";

/** `same` continues the lineage: a resume. `new` starts one: another domain with the same files. */
export type ForkLineage = "same" | "new";

export interface ForkedJournal extends Secrets {
  readonly directory: string;
}

/** `<fork>/origin`: what it was made from, so that making it again can tell that it is made. */
export interface ForkOrigin {
  readonly format: 1;
  readonly lineage: string;
  readonly pin: string;
  readonly sequence: number;
  readonly continues: boolean;
}

/**
 * Makes the fork. `foldToPin` makes the pin's file where it is needed; it stays. Rejects with `journal-exists`, what that rejects
 * with, or what the disk says.
 */
export async function makeFork(
  from: ForkedJournal,
  pin: Pin,
  pathOfSegment: (segment: number) => string,
  directory: string,
  lineage: ForkLineage,
  foldToPin: () => Promise<void>,
): Promise<void> {
  const origin: ForkOrigin = {
    format: 1,
    lineage: from.lineage.toString("hex"),
    pin: pin.name,
    sequence: pin.position.sequence,
    continues: lineage === "same",
  };
  if (await isMade(directory, origin)) return;
  const making = `${directory}.fork`;
  await fs.rm(making, { recursive: true, force: true });
  try {
    const segments = path.join(making, "segments");
    await fs.mkdir(making, { mode: 0o700 });
    await fs.mkdir(segments, { mode: 0o700 });
    for (const { segment } of pin.segments)
      await share(pathOfSegment(segment), path.join(segments, nameSegment(segment)));
    const sums = path.join(making, "sums");
    await fs.mkdir(sums, { mode: 0o700 });
    for (const { segment } of pin.segments)
      if (existsSync(sumsPath(from.directory, segment)))
        await share(sumsPath(from.directory, segment), sumsPath(making, segment));
    await copyLiveNumbers(from.directory, making);
    // Appending goes on at the end of the last segment: that must be one of its own.
    const next = (pin.segments.at(-1)?.segment ?? -1) + 1;
    await fs.writeFile(path.join(segments, nameSegment(next)), "", { mode: 0o600, flush: true });
    let log = linkForkStart(from.directory, pin, making);
    if (log === undefined) {
      await foldToPin();
      await share(pinPath(from.directory, pin.position), checkpointPath(making, pin.position.sequence));
      log = [];
    }
    await writeLog(making, log, pin.position, lineage);
    createIdentity(making, lineage === "same" ? from : undefined);
    await fs.writeFile(path.join(making, "origin"), `${JSON.stringify(origin)}\n`, { mode: 0o600, flush: true });
    await syncDirectoryLater(segments);
    await syncDirectoryLater(making);
    await fs.rename(making, directory);
    await syncDirectoryLater(path.dirname(directory));
  } catch (error) {
    await fs.rm(making, { recursive: true, force: true });
    throw error;
  }
}

/** Whether the fork is there already. Throws `journal-exists` where something else is. */
async function isMade(directory: string, origin: ForkOrigin): Promise<boolean> {
  const found = await fs.readFile(path.join(directory, "origin"), "utf8").catch(() => undefined);
  if (found === `${JSON.stringify(origin)}\n`) return true;
  const exists = await fs.stat(directory).then(
    () => true,
    () => false,
  );
  if (!exists) return false;
  throw new XenoError("journal-exists", `${directory} exists, and is no fork of the pin ${origin.pin}`, {
    hint: "Choose another directory for the fork, or remove that one.",
  });
}

async function share(from: string, to: string): Promise<void> {
  try {
    await fs.link(from, to);
  } catch (error) {
    // Another file system, one without links, or too many of them.
    if (!["EXDEV", "EPERM", "ENOTSUP", "EOPNOTSUPP", "EMLINK"].includes((error as NodeJS.ErrnoException).code ?? ""))
      throw error;
    await fs.copyFile(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
    const copy = await fs.open(to, "r+");
    await copy.sync().finally(() => copy.close());
  }
}

/**
 * The inode numbers of live layers that the files of the fork are known by (../layers/live/number-table.ts). What was found in
 * a layer after the pin is in it too, and is no more than a number that stays with its file.
 */
async function copyLiveNumbers(from: string, making: string): Promise<void> {
  const tables = path.join(from, "live");
  if (!existsSync(tables)) return;
  await fs.mkdir(path.join(making, "live"), { mode: 0o700 });
  // One that is being written anew is there under its own name too.
  for (const name of (await fs.readdir(tables)).filter((each) => !each.endsWith(".new"))) {
    const copy = path.join(making, "live", name);
    await fs.copyFile(path.join(tables, name), copy, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
    const file = await fs.open(copy, "r+");
    await file.sync().finally(() => file.close());
  }
  await syncDirectoryLater(path.join(making, "live"));
}

/** The log goes on after the pin with a record that says that this is another journal now. */
async function writeLog(
  making: string,
  log: readonly LogPart[],
  position: LogPosition,
  lineage: ForkLineage,
): Promise<void> {
  const writer = new ChangeWriter();
  writer.change({ kind: "fork", keepsReplies: lineage === "same" });
  const record = formatRecord(writer.bytes(), position);
  const last = log.at(-1) ?? { first: position.sequence + 1, bytes: formatLogHeader(position) };
  for (const { first, bytes } of [...log.slice(0, -1), { ...last, bytes: Buffer.concat([last.bytes, record]) }])
    await fs.writeFile(logFilePath(making, first), bytes, { mode: 0o600, flush: true });
  await writeFirstMark(making, position.sequence + 1);
}
