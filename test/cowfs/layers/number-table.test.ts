/** Numbers of live objects: the same after every crash, and a file that does not grow for ever. */
import fs from "node:fs";
import path from "node:path";
import test, { type ExecutionContext } from "ava";
import { NumberTable } from "../../../cowfs/layers/live/number-table.ts";
import { makeFastDirectory } from "../fast-directory.ts";

function scratch(t: ExecutionContext): string {
  const directory = makeFastDirectory();
  t.teardown(() => fs.rmSync(directory, { recursive: true }));
  return path.join(directory, "live", "numbers");
}

const seen = (name: string, identity: string, parent = 0) => ({ parent, name, identity, hasOneName: true });

test("cut at every byte, the file gives every number that was acknowledged, and none to another object", async (t) => {
  const file = scratch(t);
  const table = await NumberTable.open(file);
  await table.setRoot("root");
  const sizes = [fs.statSync(file).size];
  for (const name of ["a", '\xff\n"', "c"]) {
    await table.record([seen(name, `id ${name}`)]);
    sizes.push(fs.statSync(file).size);
  }
  await table.close();
  const whole = fs.readFileSync(file);
  for (let end = 0; end <= whole.length; end++) {
    fs.writeFileSync(file, whole.subarray(0, end));
    const cut = await NumberTable.open(file);
    t.is(cut.count, sizes.filter((size) => size <= end).length);
    if (cut.count > 0) {
      t.deepEqual(await cut.record([seen("new", "id new")]), [cut.count - 1]);
      t.deepEqual(cut.place(cut.count - 1), { path: ["new"], identity: "id new" });
    }
    await cut.close();
  }
});

test("what is moved keeps its number, and a thousand moves leave a short file", async (t) => {
  const file = scratch(t);
  let table = await NumberTable.open(file);
  await table.setRoot("root");
  const [directory, moved] = await table.record([seen("d", "d"), seen("m", "m")]);
  for (let round = 0; round < 25; round++) {
    const moves = Array.from({ length: 1000 }, (_, index) => seen(`m${index}`, "m", index % 2 === 0 ? directory : 0));
    t.true((await table.record(moves)).every((number) => number === moved));
  }
  t.true(fs.statSync(file).size < 700_000);
  t.deepEqual(table.place(moved).path, ["m999"]);
  await table.close();
  table = await NumberTable.open(file);
  t.deepEqual(table.place(moved), { path: ["m999"], identity: "m" });
  await table.setRoot("another root");
  t.is(table.place(0).identity, "another root");
  await table.close();
});

test("a damaged table is refused with its line, not guessed at", async (t) => {
  const file = scratch(t);
  fs.mkdirSync(path.dirname(file));
  for (const bad of ["nonsense", "[0,0]", '[7,0,"a","b"]', '[0,0,1,"b"]', '[-1,0,"a","b"]', "{}"]) {
    fs.writeFileSync(file, `[0,0,"","root"]\n${bad}\n`);
    await t.throwsAsync(NumberTable.open(file), { code: "journal-damaged", message: /numbers:2 / }, bad);
  }
});
