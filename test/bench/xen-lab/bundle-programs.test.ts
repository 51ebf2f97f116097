import { glob, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { bundlePrograms } from "../../../bench/xen-lab/bundle-programs.ts";

test("a program for dom0 runs its bundle, which imports nothing but Node's own modules and finds its neighbours in /project", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "xeno-bundle-"));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  await bundlePrograms(["xenod/links/forwarder.ts", "xenod/links/listener.ts"], directory);
  const read = (name: string) => readFile(join(directory, name), "utf8");
  t.is(await read("xenod/links/forwarder.ts"), 'import "/project/bundle/xenod/links/forwarder.js";\n');
  let text = "";
  for await (const name of glob("bundle/**/*.js", { cwd: directory })) text += await read(name);
  const imported = [...text.matchAll(/^(?:import|export) .*?from "([^"]*)";$/gm)].map(([, name]) => name);
  t.deepEqual(
    imported.filter((name) => !/^(?:node:|\.)/.test(name)),
    [],
  );
  t.regex(text, /"file:\/\/\/project\/xenod\/links\/listener\.ts"/);
  t.notRegex(text, /import\.meta\.dirname(?!;)/);
});
