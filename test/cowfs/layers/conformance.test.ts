/** The rules of layers, over every kind: sealed tree, journal, host directory (and AFS, which is one), remote NFSv3. */
import fs from "node:fs";
import test, { type ExecutionContext } from "ava";
import { LiveProcess } from "../../../cowfs/layers/live/process.ts";
import type { LiveOpening } from "../../../cowfs/layers/live/protocol.ts";
import { makeFastDirectory } from "../fast-directory.ts";
import { openScratch } from "../union/scratch.ts";
import { declareLayerSuite, type Laid, type Spec } from "./conformance.ts";
import { layHostFiles, layInJournal, listHost, makeTree } from "./lay-files.ts";

const weakerUrl = "test://weaker";

declareLayerSuite(test, "sealed tree", {
  async lay(t, spec, weaker) {
    const base = { ...spec, ".mount": weakerUrl };
    const layers = {
      "test://base": makeTree(Object.keys(weaker).length > 0 ? base : spec),
      [weakerUrl]: makeTree(weaker),
    };
    const scratch = await openScratch(t, { layers, base: "test://base" });
    return { scratch: scratch };
  },
});

const noWhiteouts = "a journal's whiteouts are its own: no client can write one";
declareLayerSuite(test, "journal", {
  async lay(t, spec, weaker) {
    const scratch = await openScratch(t, { layers: { [weakerUrl]: makeTree(weaker) }, base: weakerUrl });
    await layInJournal(scratch, spec);
    return { scratch };
  },
  limits: {
    "a whiteout hides the name in weaker layers, and is no name itself": noWhiteouts,
    "an opaque directory hides all of weaker layers at its place": noWhiteouts,
    "directories of the same name merge with weaker layers, and of files the stronger is shown":
      "a client cannot make a file where a directory is",
  },
});

/** The layer is mounted over nothing, by a `.mount` in an empty root that names the weaker one after it. */
export async function layLive(
  t: ExecutionContext,
  { weaker, open, own }: { weaker: Spec; open: LiveOpening; own: () => Promise<unknown> },
): Promise<Laid> {
  const files = new LiveProcess(open);
  t.teardown(() => files.close());
  const layers = { [weakerUrl]: makeTree(weaker) };
  const live = { "live://it": { id: "live://it", isLive: true, isWritable: false, files } as const };
  const scratch = await openScratch(t, { layers, live });
  await scratch.write("/.mount", `live://it\n${weakerUrl}\n`);
  return { scratch: scratch, own };
}

declareLayerSuite(test, "host directory", {
  async lay(t, spec, weaker) {
    const directory = makeFastDirectory();
    t.teardown(() => fs.rmSync(directory, { recursive: true }));
    layHostFiles(directory, spec);
    const open = { kind: "directory", path: fs.realpathSync(directory), isWritable: false } as const;
    return await layLive(t, { weaker, open, own: async () => listHost(directory) });
  },
});
