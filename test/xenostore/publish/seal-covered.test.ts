/** Sealing a journal that layers lie over: published, and deployed over the same layers, it shows what it showed. */
import test from "ava";
import type { TreeNode } from "../../../cowfs/trees/node.ts";
import { sealUnion } from "../../../xenostore/publish/seal-union.ts";
import { directory, file } from "../../cowfs/union/layers.ts";
import { openScratch } from "../../cowfs/union/scratch.ts";
import { snapshot } from "../../cowfs/union/snapshot.ts";

test("what was made under a covering layer is in the sealed tree, at its place", async (t) => {
  const settings = directory({
    conf: directory({ fixed: file("fixed"), deep: directory({ er: directory({}) }) }),
    gone: directory({ x: file("x") }),
  });
  const base = directory({ conf: directory({ fixed: file("base's") }), gone: directory({ y: file("y") }) });
  const layers: Record<string, TreeNode> = { "test://settings": settings, "test://base": base };
  const s = await openScratch(t, { base: "test://base", layers });
  await s.remove("/gone/y");
  await s.removeDirectory("/gone");
  await s.write("/.mount", "test://settings\n.\n");
  await s.write("/conf/own", "own");
  await s.write("/conf/deep/er/made", "made");
  await s.write("/gone/new", "new");
  const shown = await s.run(snapshot);
  t.deepEqual(Object.keys(shown).sort(), [
    "",
    "/.mount",
    "/conf",
    "/conf/deep",
    "/conf/deep/er",
    "/conf/deep/er/made",
    "/conf/fixed",
    "/conf/own",
    "/gone",
    "/gone/new",
    "/gone/x",
  ]);
  const addContent = async (content: Buffer | AsyncIterable<Buffer>) => {
    const parts: Buffer[] = [];
    for await (const part of Buffer.isBuffer(content) ? [content] : content) parts.push(part);
    return file(Buffer.concat(parts).toString("latin1")).pieces!;
  };
  const sealed = await sealUnion(
    s.fs.core,
    s.fs.rootId,
    { addContent, addPart: addContent, holds: () => false },
    AbortSignal.timeout(60_000),
  );
  sealed.children!.set(".mount", file("test://settings\n.\ntest://base\n"));
  layers["test://sealed"] = sealed;
  const deployed = await openScratch(t, { base: "test://sealed", layers });
  const without = ({ "": _, "/.mount": __, ...rest }: typeof shown) => rest;
  t.deepEqual(without(await deployed.run(snapshot)), without(shown));
});
