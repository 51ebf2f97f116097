import test from "ava";
import type { CheckpointManifest } from "../../../xenod/checkpoints/manifest.ts";
import { type DomainRecord, DomainRecords } from "../../../xenod/daemon/domain-record.ts";
import { NeededTrees } from "../../../xenod/daemon/needed-trees.ts";
import type { FileServerClient } from "../../../xenod/file-server/client.ts";
import { SerialQueues } from "../../../xenod/serial-queues.ts";
import { makeDirectory } from "../../xenostore/make-directory.ts";

const { signal } = new AbortController();
const tree = (digit: string) => digit.repeat(64);

test("a XenoServer needs the trees of its domains, of what they mounted, and of checkpoints from before they moved on", async (t) => {
  const needs: { known?: NeededTrees } = {};
  const records = new DomainRecords(await makeDirectory(t), () => needs.known?.forget());
  const layers = [{ url: "template://Debian/12/current", tree: tree("c") }];
  const fileServer = { status: async () => ({ exports: [{ id: "web", layers }] }) } as unknown as FileServerClient;
  needs.known = new NeededTrees({ records, fileServer, queues: new SerialQueues() });
  const list = async () => [...(await needs.known!.list(signal))].sort();
  const record = { name: "web", state: "running", overlayTree: tree("a"), kernelTree: tree("b") } as DomainRecord;
  await records.save({ ...record, format: 1 });
  t.deepEqual(await list(), [tree("a"), tree("b"), tree("c")], "the file server knows what was mounted since");
  const checkpoint = { format: 1, number: 1, overlayTree: tree("a"), kernelTree: tree("b") } as CheckpointManifest;
  const checkpoints = records.checkpointsOf("web");
  await checkpoints.prepare(1);
  await checkpoints.keep({ ...checkpoint, layers: [{ url: "template://Debian/11/current", tree: tree("d") }] });
  const moved = { ...records.get("web"), state: "suspended", overlayTree: tree("e") } as DomainRecord;
  await records.save(moved);
  t.deepEqual(
    await list(),
    ["a", "b", "c", "d", "e"].map(tree),
    "the checkpoint is resumed from what it was taken over",
  );
  await records.remove("web");
  t.deepEqual(await list(), []);
});
