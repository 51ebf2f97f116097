import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { createDirectoryNode } from "../../../cowfs/trees/node.ts";
import { importTemplate } from "../../../templates/import/import-template.ts";
import { findTemplate, listTemplates, resolveTemplate } from "../../../templates/names/name-table.ts";
import { createKey, readTrust, trustKey } from "../../../xenostore/keys/key-ring.ts";
import { beginPublication } from "../../../xenostore/publish/publication.ts";
import { openDirectoryStore } from "../../../xenostore/stores/directory-store.ts";

async function makeTable(t: ExecutionContext) {
  const home = mkdtempSync(join(tmpdir(), "templates-"));
  t.teardown(() => rmSync(home, { recursive: true }));
  const keys = join(home, "keys");
  const key = await createKey(keys, "publisher");
  await trustKey(keys, "templates", key.publicKey);
  const source = join(home, "source");
  mkdirSync(source);
  writeFileSync(join(source, "file"), "one");
  const table = { store: await openDirectoryStore(join(home, "store")), trust: readTrust(keys) };
  return { home, key, source, table };
}

test("what was imported resolves by version, as current and by its hash, and the same again is the same version", async (t) => {
  const { key, source, table } = await makeTable(t);
  const from = { kind: "directory", directory: source } as const;
  const first = await importTemplate(from, { table, key, name: "Test/1" });
  t.like(first, { files: 2, bytes: 3, newChunks: 1 });
  for (const url of [first.url, "template://Test/1/current", `template://blake3:${first.treeId}`])
    t.is((await resolveTemplate(table, url)).tree, first.treeId, url);
  const again = await importTemplate(from, { table, key, name: "Test/1" });
  t.is(again.url, first.url);
  t.is(again.newChunks, 0);

  writeFileSync(join(source, "more"), "two");
  const second = await importTemplate(from, { table, key, name: "Test/1", version: "2" });
  t.is(second.newChunks, 1);
  t.is((await resolveTemplate(table, "template://Test/1/current")).tree, second.treeId);
  const listed = (await listTemplates(table)).map(({ url, isCurrent }) => [url, isCurrent]);
  t.deepEqual(listed, [
    ["template://Test/1/2", true],
    [first.url, false],
  ]);
});

test("an unknown name comes back with those near it", async (t) => {
  const { key, source, table } = await makeTable(t);
  const empty = await t.throwsAsync(resolveTemplate(table, "template://Test/1/current"), { code: "template-unknown" });
  t.regex((empty as Error & { hint: string }).hint, /no templates yet/);
  await importTemplate({ kind: "directory", directory: source }, { table, key, name: "Test/1", version: "1" });
  const near = await t.throwsAsync(resolveTemplate(table, "template://Tset/1/current"), { code: "template-unknown" });
  t.regex((near as Error & { hint: string }).hint, /did you mean template:\/\/Test\/1\/current/);
  t.is(await findTemplate(table, "template://Other/2/current"), undefined);
});

test("a hash resolves only when the name table has it", async (t) => {
  const { key, table } = await makeTable(t);
  const publication = await beginPublication(table.store);
  const mine = await publication.commit(createDirectoryNode({ permissions: 0o700 }), {
    owner: "somebody",
    name: "private",
    version: "1",
    key,
  });
  await t.throwsAsync(resolveTemplate(table, `template://blake3:${mine.treeId}`), { code: "template-unknown" });
});

test("templates that no trusted key signed are listed with the reason and do not resolve", async (t) => {
  const { home, source, table } = await makeTable(t);
  const stranger = await createKey(join(home, "keys"), "stranger");
  await importTemplate({ kind: "directory", directory: source }, { table, key: stranger, name: "Evil", version: "1" });
  const [listed] = await listTemplates(table);
  t.is(listed?.problem?.code, "ref-untrusted");
  t.false(listed?.isCurrent);
  await t.throwsAsync(resolveTemplate(table, "template://Evil/current"), { code: "ref-untrusted" });
});
