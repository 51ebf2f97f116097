/** The rules of layers, over every kind: sealed tree, journal, host directory (and AFS, which is one), remote NFSv3. */
import fs from "node:fs";
import test from "ava";
import { makeFastDirectory } from "../fast-directory.ts";
import { serveExport } from "../nfs/fixture.ts";
import { openScratch } from "../union/scratch.ts";
import { declareLayerSuite } from "./conformance.ts";
import { exportDirectory } from "./ganesha.ts";
import { layHostFiles, layInJournal, listHost, makeTree, withWhiteoutFiles } from "./lay-files.ts";
import { layLive, weakerUrl } from "./lay-live.ts";
import { mountUntyped } from "./untyped.ts";

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

declareLayerSuite(test, "host directory", {
  async lay(t, spec, weaker) {
    const directory = makeFastDirectory();
    t.teardown(() => fs.rmSync(directory, { recursive: true }));
    layHostFiles(directory, spec);
    const open = { kind: "directory", path: fs.realpathSync(directory), isWritable: false } as const;
    return await layLive(t, { weaker, open, own: async () => listHost(directory) });
  },
});

const untyped = mountUntyped(test);

declareLayerSuite(test, "host directory without types", {
  async lay(t, spec, weaker) {
    const directory = fs.mkdtempSync(`${untyped.directory}/layer-`);
    layHostFiles(directory, spec);
    const open = { kind: "directory", path: fs.realpathSync(directory), isWritable: false } as const;
    return await layLive(t, { weaker, open, own: async () => listHost(directory) });
  },
});

declareLayerSuite(test, "remote NFSv3, our own server", {
  async lay(t, spec, weaker) {
    const remote = await openScratch(t, { layers: {} });
    await layInJournal(remote, withWhiteoutFiles(spec));
    const { port } = await serveExport(t, { fileSystem: remote.fs });
    const ports = { nfsPort: port, mountPort: port };
    const place = { host: "remote", address: "127.0.0.1", path: "/", isWritable: false };
    return await layLive(t, { weaker, open: { kind: "nfs", ...place, ...ports } });
  },
});

const ganesha = exportDirectory(test);

declareLayerSuite(test, "remote NFSv3, nfs-ganesha", {
  async lay(t, spec, weaker) {
    const directory = fs.mkdtempSync(`${ganesha.directory}/layer-`);
    layHostFiles(directory, spec);
    const place = { host: "ganesha", address: "127.0.0.1", path: directory, isWritable: false };
    return await layLive(t, { weaker, open: { kind: "nfs", ...place }, own: async () => listHost(directory) });
  },
});
