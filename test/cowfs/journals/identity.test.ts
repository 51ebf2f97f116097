/** Who a journal is, and when a client must send again what it wrote. */
import fs from "node:fs";
import path from "node:path";
import { crc32 } from "node:zlib";
import test from "ava";
import { Journal } from "../../../cowfs/journals/journal.ts";
import { addFile, copyJournal, newestLog, scratchDirectory } from "./scratch.ts";

/** As if it had last been opened under another boot of the host. */
function bootHost(journal: string): void {
  const file = path.join(journal, "identity");
  const lines = fs.readFileSync(file, "latin1").split("\n");
  const others = lines.slice(0, 2).map((line) => {
    const text = line
      .slice(9)
      .trimEnd()
      .replace(/"bootId":"[^"]*"/, '"bootId":"another"');
    return `${crc32(text).toString(16).padStart(8, "0")} ${text}`.padEnd(511);
  });
  fs.writeFileSync(file, `${others.join("\n")}\n`);
}

for (const [what, closes, boots, changes] of [
  ["closing and opening", true, false, false],
  ["closing, another boot, opening", true, true, false],
  ["a death of the process alone", false, false, false],
  ["a death of the host", false, true, true],
] as const)
  test(`after ${what} the write verifier is ${changes ? "another" : "the same"}; lineage, key and replies stay`, async (t) => {
    const directory = scratchDirectory(t);
    const journal = Journal.open(directory);
    const number = addFile(journal, "a", "x");
    journal.flush();
    const crashed = copyJournal(t, directory);
    await journal.close();
    const left = closes ? directory : crashed;
    if (boots) bootHost(left);
    const again = Journal.open(left);
    t.is(again.writeVerifier.equals(journal.writeVerifier), !changes);
    t.deepEqual([again.lineage, again.handleKey], [journal.lineage, journal.handleKey]);
    t.is(again.state.replies.get("key of a")?.toString(), "reply of a");
    const next = again.allocateInode();
    t.true(changes ? next > number + 1_000_000 : next === number + 1);
    await again.close();
  });

test("inode numbers that a lost tail may have used stay passed over, however often the host dies", async (t) => {
  const directory = scratchDirectory(t);
  const journal = Journal.open(directory);
  const numbers = [addFile(journal, "a", "x")];
  journal.flush();
  let left = copyJournal(t, directory);
  await journal.close();
  for (let death = 0; death < 3; death++) {
    bootHost(left);
    const again = Journal.open(left);
    const beforeAnyFlush = copyJournal(t, left);
    numbers.push(addFile(again, `b ${death}`, "x"));
    await again.close();
    left = beforeAnyFlush;
  }
  for (let index = 1; index < numbers.length; index++) t.true(numbers[index] > numbers[index - 1] + 1_000_000);
});

test("the secrets are the owner's alone to read", async (t) => {
  const directory = path.join(scratchDirectory(t), "journal");
  const journal = Journal.open(directory);
  t.is(fs.statSync(directory).mode & 0o777, 0o700);
  for (const name of ["identity", "mark", path.basename(newestLog(directory))])
    t.is(fs.statSync(path.join(directory, name)).mode & 0o777, 0o600, name);
  await journal.close();
});

for (const [what, text] of [
  ["is empty", ""],
  ["is something else", "{}\n".repeat(500)],
  ["is zeros", "\0".repeat(1024)],
] as const)
  test(`an identity that ${what} is damage, named, and the lock is let go`, async (t) => {
    const directory = scratchDirectory(t);
    const journal = Journal.open(directory);
    await journal.close();
    const file = path.join(directory, "identity");
    const good = fs.readFileSync(file);
    fs.writeFileSync(file, text);
    const error = t.throws(() => Journal.open(directory), { code: "journal-damaged" });
    t.true(error!.message.includes(file));
    fs.writeFileSync(file, good);
    await Journal.open(directory).close();
  });

test("an identity that was torn while it was written is the one before", async (t) => {
  const directory = scratchDirectory(t);
  const file = path.join(directory, "identity");
  for (let opening = 0; opening < 4; opening++) {
    const journal = Journal.open(directory);
    journal.flush();
    const torn = copyJournal(t, directory);
    await journal.close();
    const before = fs.readFileSync(file);
    const after = fs.readFileSync(path.join(torn, "identity"));
    const at = [...after.keys()].find((index) => after[index] !== before[index])!;
    after[at] ^= 0xff;
    fs.writeFileSync(path.join(torn, "identity"), after);
    const again = Journal.open(torn);
    t.deepEqual(
      [again.lineage, again.handleKey, again.writeVerifier],
      [journal.lineage, journal.handleKey, journal.writeVerifier],
    );
    await again.close();
  }
});
