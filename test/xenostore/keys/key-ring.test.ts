import fs from "node:fs/promises";
import path from "node:path";
import test from "ava";
import {
  createKey,
  distrustKey,
  listKeys,
  listTrustedKeys,
  loadKey,
  readTrust,
  trustKey,
} from "../../../xenostore/keys/key-ring.ts";
import { makeDirectory } from "../make-directory.ts";

test("a key that was made is listed and loaded, and only its owner can read it", async (t) => {
  const directory = path.join(await makeDirectory(t), "keys");
  const made = await createKey(directory, "demo");
  t.is((await fs.stat(path.join(directory, "demo.key"))).mode & 0o777, 0o600);
  t.is((await loadKey(directory, "demo")).publicKey, made.publicKey);
  t.deepEqual(
    (await listKeys(directory)).map(({ id }) => id),
    [made.id],
  );
});

test("a key is not overwritten, and one that is missing or spoilt says so", async (t) => {
  const directory = await makeDirectory(t);
  await createKey(directory, "demo");
  await t.throwsAsync(createKey(directory, "demo"), { code: "key-exists" });
  await t.throwsAsync(loadKey(directory, "none"), { code: "key-missing", message: /none/ });
  await t.throwsAsync(createKey(directory, "../demo"), { code: "key-unusable" });
  await fs.chmod(path.join(directory, "demo.key"), 0o644);
  await t.throwsAsync(loadKey(directory, "demo"), { code: "key-unusable", message: /others can read/ });
  await fs.writeFile(path.join(directory, "demo.key"), "{}");
  await fs.chmod(path.join(directory, "demo.key"), 0o600);
  await t.throwsAsync(loadKey(directory, "demo"), { code: "key-unusable" });
});

test("trust holds for one owner and one key, until it is taken back", async (t) => {
  const directory = await makeDirectory(t);
  const key = await createKey(directory, "demo");
  const trust = readTrust(directory);
  t.is(await trust.find("demo", key.id), undefined);
  await trustKey(directory, "demo", key.publicKey);
  await trustKey(directory, "demo", ` ${key.publicKey}\n`);
  t.deepEqual(await listTrustedKeys(directory), [{ owner: "demo", id: key.id, publicKey: key.publicKey }]);
  t.truthy(await trust.find("demo", key.id));
  t.is(await trust.find("templates", key.id), undefined);
  t.is(await trust.find("demo", `${key.id}x`), undefined);
  await distrustKey(directory, "demo", key.id);
  t.is(await trust.find("demo", key.id), undefined);
});

test("a trusted file under another key's id proves nothing", async (t) => {
  const directory = await makeDirectory(t);
  const [key, other] = [await createKey(directory, "a"), await createKey(directory, "b")];
  await trustKey(directory, "demo", key.publicKey);
  await fs.writeFile(path.join(directory, "trusted", "demo", key.id), other.publicKey);
  t.is(await readTrust(directory).find("demo", key.id), undefined);
});

for (const text of ["", "ed25519:short", "ssh-ed25519 AAAA", `ed25519:${"A".repeat(44)}`])
  test(`${JSON.stringify(text)} is no public key`, async (t) => {
    await t.throwsAsync(trustKey(await makeDirectory(t), "demo", text), { code: "key-unusable" });
  });

for (const owner of ["", "..", "a/b", ".hidden"])
  test(`${JSON.stringify(owner)} is no owner`, async (t) => {
    const directory = await makeDirectory(t);
    const { publicKey } = await createKey(directory, "demo");
    await t.throwsAsync(trustKey(directory, owner, publicKey), { code: "store-key" });
  });
