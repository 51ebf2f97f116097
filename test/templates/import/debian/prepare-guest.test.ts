import test from "ava";
import { createDirectoryNode, createFileNode, createSymlinkNode, type TreeNode } from "../../../../cowfs/trees/node.ts";
import { clampTimes } from "../../../../templates/import/debian/clamp-times.ts";
import { maskedUnits, prepareGuest } from "../../../../templates/import/debian/prepare-guest.ts";
import { TreeBuilder } from "../../../../templates/import/tree-builder.ts";
import { at, MemorySink } from "../memory-sink.ts";

function makeDebian(): TreeNode {
  const tree = new TreeBuilder();
  const file = () => createFileNode({ permissions: 0o644, modified: { seconds: 100, nanoseconds: 0 } }, [], 0);
  for (const path of ["etc/hostname", "etc/resolv.conf", "var/log/journal/x", "var/log/syslog", "usr/bin/sh"])
    tree.add(path, file());
  const enabled = createSymlinkNode({ permissions: 0o777 }, "/lib/systemd/system/networking.service");
  tree.add("etc/systemd/system/multi-user.target.wants/networking.service", enabled);
  return tree.root;
}

test("a guest has no host's names, an empty machine-id, and no units that hurt on an NFS root", async (t) => {
  const root = makeDebian();
  const sink = new MemorySink();
  await prepareGuest(root, sink);
  t.throws(() => at(root, "etc/hostname"));
  t.throws(() => at(root, "var/log/journal"));
  t.truthy(at(root, "var/log/syslog"));
  t.is(at(root, "etc/machine-id").size, 0);
  t.regex(sink.read(at(root, "etc/resolv.conf")).toString(), /^# /);
  for (const unit of Object.keys(maskedUnits)) t.is(at(root, `etc/systemd/system/${unit}`).target, "/dev/null");
});

test("systemd finds its caches newer than /usr, so that it rebuilds none at boot", async (t) => {
  const root = makeDebian();
  at(root, "usr").modified = { seconds: 5000, nanoseconds: 7 };
  await prepareGuest(root, new MemorySink());
  for (const mark of ["etc/.updated", "var/.updated"]) t.true(at(root, mark).modified.seconds > 5000);
});

test("what was written while the system was made gets the time of the newest packaged file", (t) => {
  const time = (seconds: number) => ({ permissions: 0o644, modified: { seconds, nanoseconds: 5 } });
  const root = createDirectoryNode(time(2000));
  root.children.set("old", createFileNode(time(10), [], 0));
  root.children.set("newest", createFileNode(time(999), [], 0));
  root.children.set("made", createFileNode(time(1000), [], 0));
  clampTimes(root, 1000);
  const seconds = ["old", "newest", "made"].map((name) => at(root, name).modified.seconds);
  t.deepEqual([...seconds, root.modified.seconds], [10, 999, 999, 999]);
});
