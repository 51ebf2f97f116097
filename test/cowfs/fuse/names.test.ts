/** Names of any bytes through a mount: what the kernel lets through comes back byte for byte. */
import fs from "node:fs/promises";
import test from "ava";
import { createModel } from "../model/model.ts";
import { root } from "../posix-rules/world.ts";
import { mountForTest } from "./mounted.ts";

/** All bytes but `/` and NUL. */
const bytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte).filter((byte) => byte !== 0 && byte !== 0x2f));

test("names and targets of any bytes are made, listed, moved and read as they are", async (t) => {
  const fileSystem = createModel();
  const { directory } = await mountForTest(t, fileSystem);
  const at = (name: Buffer) => Buffer.concat([Buffer.from(`${directory}/`), name]);
  const names = [...bytes].map((byte) => Buffer.from([0x78, byte]));
  for (const name of names) await fs.writeFile(at(name), name);
  const listed = await fs.readdir(directory, { encoding: "buffer" });
  t.deepEqual(listed.sort(Buffer.compare), names.toSorted(Buffer.compare));
  for (const name of names) t.deepEqual(await fs.readFile(at(name)), name);
  const inside = fileSystem.list(root, fileSystem.rootId, 0, 1000).map(({ name }) => Buffer.from(name, "latin1"));
  t.deepEqual(inside.sort(Buffer.compare), names.toSorted(Buffer.compare));

  const longest = Buffer.concat([bytes, Buffer.from("x")]);
  t.is(longest.length, 255);
  await fs.rename(at(names[200]), at(longest));
  t.deepEqual(await fs.readFile(at(longest)), names[200]);
  await fs.symlink(bytes, at(names[200]));
  t.deepEqual(await fs.readlink(at(names[200]), { encoding: "buffer" }), bytes);
  await t.throwsAsync(fs.writeFile(at(Buffer.concat([longest, Buffer.from("x")])), ""), { code: "ENAMETOOLONG" });
});
