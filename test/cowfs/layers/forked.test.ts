/** A fork of a journal that has live layers: their files are known by the same numbers. */
import fs from "node:fs";
import path from "node:path";
import test from "ava";
import { LiveProcess } from "../../../cowfs/layers/live/process.ts";
import { makeFastDirectory } from "../fast-directory.ts";
import { openScratch } from "../union/scratch.ts";

for (const lineage of ["same", "new"] as const)
  test(`a fork of ${lineage === "same" ? "the same" : "a new"} lineage finds the files of a live layer under their numbers`, async (t) => {
    const home = fs.realpathSync(makeFastDirectory());
    t.teardown(() => fs.rmSync(home, { recursive: true }));
    const place = path.join(home, "place");
    fs.mkdirSync(place);
    fs.writeFileSync(path.join(place, "shared"), "content");
    const files = new LiveProcess({ kind: "directory", path: place, isWritable: false });
    t.teardown(() => files.close());
    const live = { "live://it": { id: "live://it", isLive: true, isWritable: false, files } as const };
    const first = await openScratch(t, { layers: {}, live });
    await first.write("/.mount", ".\nro live://it\n");
    const id = await first.find("/shared");
    await first.set("/shared", { mode: 0o600 });
    const { snapshots } = first.fs.core.journal;
    await snapshots.take("kept");
    await snapshots.fork("kept", path.join(home, "fork"), lineage);
    const fork = await openScratch(t, { layers: {}, live, journal: path.join(home, "fork") });
    t.is(await fork.find("/shared"), id);
    t.is(await fork.read("/shared"), "content");
    t.is((await fork.run((union) => union.getAttributes(id))).mode & 0o7777, 0o600);
    t.deepEqual(fork.errors, []);
  });
