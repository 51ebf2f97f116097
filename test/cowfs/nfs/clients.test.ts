import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { execa } from "execa";
import { serveModel } from "./fixture.ts";

const hasClients = existsSync("/usr/bin/nfs-ls");
const withClients = hasClients ? test : test.skip;

withClients("nfs-cp, nfs-ls and nfs-cat of libnfs write, list and read what was written", async (t) => {
  const { port } = await serveModel(t);
  const scratch = await mkdtemp(join(tmpdir(), "nfs-clients-"));
  t.teardown(() => rm(scratch, { recursive: true }));
  const content = randomBytes(3_333_333);
  await writeFile(join(scratch, "file"), content);
  const url = (path: string) => `nfs://127.0.0.1${path}?nfsport=${port}&mountport=${port}&version=3`;
  const timeout = 20_000;
  await execa("nfs-cp", [join(scratch, "file"), url("//copied")], { timeout });
  const listed = await execa("nfs-ls", [url("/")], { timeout });
  t.regex(listed.stdout, /3333333 copied/);
  const shown = await execa("nfs-cat", [url("//copied")], { timeout, encoding: "buffer" });
  t.true(content.equals(shown.stdout));
  await execa("nfs-cp", [url("//copied"), join(scratch, "back")], { timeout });
  t.true(content.equals(await readFile(join(scratch, "back"))));
});
