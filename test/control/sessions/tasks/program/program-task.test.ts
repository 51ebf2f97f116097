import test from "ava";
import { maxTarBytes, programTasks } from "../../../../../control/sessions/tasks/program/program-task.ts";
import { type Member, packTar } from "../../../../templates/import/pack.ts";

const run = { name: "run", mode: 0o755, content: "#!/bin/sh\n" };
const describe = async (members: readonly Member[], asked: object = {}) =>
  await programTasks.describe({ inside: "web", tar: (await packTar(members)).toString("base64"), ...asked } as never);

test("a program is a tar with what is run in it, and has limits", async (t) => {
  const { tar, ...described } = await describe([{ name: "lib", content: "x" }, run]);
  t.deepEqual(described, { inside: "web", entry: "run", seconds: 3600, outputBytes: 1_048_576 });
  t.true(Buffer.from(tar, "base64").length > 1024);
  t.like(await describe([{ ...run, name: "./bin/job" }], { entry: "bin/job", seconds: 5, outputBytes: 9 }), {
    ...{ entry: "bin/job", seconds: 5, outputBytes: 9 },
  });
});

const large = { name: "data", content: "x".repeat(maxTarBytes) };
for (const [why, code, members, asked] of [
  ["is too large", "program-too-large", [run, large], {}],
  ["has no entry", "program-entry-missing", [{ ...run, name: "walk" }], {}],
  ["has another entry", "program-entry-missing", [run], { entry: "bin/run" }],
  ["has an entry that may not be executed", "program-entry-missing", [{ ...run, mode: 0o644 }], {}],
  ["has a directory for its entry", "program-entry-missing", [{ name: "run", type: "directory", mode: 0o755 }], {}],
  ["has a link for its entry", "program-entry-missing", [{ name: "run", type: "symlink", linkname: "/bin/sh" }], {}],
] as const)
  test(`a program is refused whose tar ${why}`, async (t) => {
    await t.throwsAsync(describe(members as readonly Member[], asked), { code });
  });

for (const [why, tar] of [
  ["is empty", ""],
  ["is no tar", Buffer.from("#!/bin/sh\n".repeat(100)).toString("base64")],
  ["is cut off", Buffer.alloc(512, "x").toString("base64")],
] as const)
  test(`a program is refused whose tar ${why}`, async (t) => {
    await t.throwsAsync(programTasks.describe({ inside: "web", tar }), { code: "tar-refused" });
  });
