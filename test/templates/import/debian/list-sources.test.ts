import test from "ava";
import { importDebian } from "../../../../templates/import/debian/import-debian.ts";
import { rewriteSources } from "../../../../templates/import/debian/list-sources.ts";
import { MemorySink } from "../memory-sink.ts";

test("the host's Debian mirrors serve the release that is asked for; what is not Debian's main is left out", (t) => {
  const targets = [
    "Debian|trixie|trixie|main|http://mirror.example/debian/",
    "Debian|trixie|trixie|contrib|http://mirror.example/debian/",
    "Debian|trixie-updates|trixie-updates|main|http://mirror.example/debian/",
    "Debian|trixie-security|trixie-security|main|http://mirror.example/security/",
    "Debian Backports|trixie-backports|trixie-backports|main|http://mirror.example/debian/",
    "Debian|trixie-proposed-updates|trixie-proposed-updates|main|http://mirror.example/debian/",
    ". nodistro|nodistro|nodistro|main|https://elsewhere.example/",
    "",
  ].join("\n");
  const signed = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]";
  t.deepEqual(rewriteSources(targets, "bookworm"), [
    `deb ${signed} http://mirror.example/debian/ bookworm main`,
    `deb ${signed} http://mirror.example/debian/ bookworm-updates main`,
    `deb ${signed} http://mirror.example/security/ bookworm-security main`,
  ]);
});

test("a release that there is not is named with those that there are", async (t) => {
  const error = await t.throwsAsync(importDebian("99", new MemorySink()), {
    code: "template-unknown",
    message: /Debian 99/,
  });
  t.regex((error as Error & { hint: string }).hint, /11, 12, 13/);
});
