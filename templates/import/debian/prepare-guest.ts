/**
 * The edits that make a Debian a good guest: one template for many domains, whose root is NFS over eth0 and whose
 * processor may be emulated. Each says why; everything can be undone in an overlay (`systemctl unmask`).
 */
import { FileType, type Name, type Time } from "../../../cowfs/file-system.ts";
import { createDirectoryNode, createFileNode, createSymlinkNode, type TreeNode } from "../../../cowfs/trees/node.ts";
import type { ContentSink } from "../../../xenostore/publish/content-sink.ts";

/** Units that cost a boot or the guest's network, and why the guest does not need them. */
export const maskedUnits: Readonly<Record<Name, string>> = {
  "networking.service":
    "eth0 is up before init, and the root is on it: ifupdown must not touch it, at shutdown least of all",
  "apt-daily.timer": "downloads package lists behind the service's back; an overlay says which packages it has",
  "apt-daily-upgrade.timer": "the same, and would change the service",
  "e2scrub_all.timer": "there is no ext4 in the guest",
  "e2scrub_reap.service": "the same; it runs at each boot, for seconds where the processor is emulated",
  "fstrim.timer": "there is no disk in the guest",
  "man-db.timer": "rewrites the manual's index each day: work and copied-up files that nobody asked for",
  "dpkg-db-backup.timer": "copies dpkg's state into the domain's journal each day; the journal has snapshots",
  "systemd-hwdb-update.service":
    "the packages bring the hardware database; compiling it anew takes long where emulated",
  "systemd-pstore.service": "there is no persistent crash store in the guest",
};

/** Removed where it exists. */
const removed: Readonly<Record<Name, string>> = {
  "etc/hostname": "without it systemd keeps the name that the initramfs set from xeno.hostname=",
  "var/lib/dbus/machine-id": "each domain makes its own",
  "var/log/journal":
    "the journal then stays in memory: its memory-mapped files are slow over NFS; mkdir it to keep logs",
  "etc/apt/apt.conf.d/99mmdebstrap": "options of the making, such as the host's proxy",
};

const files: Readonly<Record<Name, string>> = {
  // Empty but there: systemd draws a new id at each domain's first boot, without taking it for the first boot of a new
  // system, which would enable every unit again (machine-id(5), "First Boot Semantics").
  "etc/machine-id": "",
  "etc/fstab": "# The root is mounted over NFS by the initramfs.\n",
  // mmdebstrap leaves the host's, which is nobody's business.
  "etc/resolv.conf": "# Name servers are the overlay's to choose.\n",
  "etc/hosts":
    "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\nff02::1 ip6-allnodes\nff02::2 ip6-allrouters\n",
  "etc/network/interfaces":
    "# eth0 is configured by the initramfs: the root is on it.\nauto lo\niface lo inet loopback\n",
};

/** Of the host that made the system: nobody is to see their content. */
export const replacedFiles: ReadonlySet<Name> = new Set([...Object.keys(removed), ...Object.keys(files)]);

/** systemd compares these files' times with /usr's to decide whether to rebuild caches at boot (systemd.unit(5)). */
const updateMarks = ["etc/.updated", "var/.updated"];

/** Edits in place. The content that the edits bring goes to the sink. */
export async function prepareGuest(root: TreeNode, sink: ContentSink): Promise<void> {
  for (const path of Object.keys(removed)) locate(root, path)?.parent.children?.delete(baseName(path));
  for (const [path, text] of Object.entries(files)) await writeText(root, path, text, root.modified, sink);
  for (const unit of Object.keys(maskedUnits))
    place(root, `etc/systemd/system/${unit}`, linkTo("/dev/null", root.modified));
  // Udev would rename eth0 while the root is on it.
  place(root, "etc/systemd/network/99-default.link", linkTo("/dev/null", root.modified));
  const usr = locate(root, "usr")?.node?.modified ?? root.modified;
  const later: Time = { seconds: usr.seconds + 1, nanoseconds: 0 };
  for (const path of updateMarks)
    await writeText(root, path, "# As systemd-update-done would leave it.\n", later, sink);
}

async function writeText(root: TreeNode, path: Name, text: string, modified: Time, sink: ContentSink): Promise<void> {
  const content = Buffer.from(text);
  const pieces = content.length === 0 ? [] : await sink.addContent(content);
  place(root, path, createFileNode({ permissions: 0o644, modified }, pieces, content.length));
}

function linkTo(target: Name, modified: Time): TreeNode {
  return createSymlinkNode({ permissions: 0o777, modified }, target);
}

/** Puts a node under a path, over whatever is there; makes the directories that lead to it. */
function place(root: TreeNode, path: Name, node: TreeNode): void {
  let directory = root;
  for (const name of path.split("/").slice(0, -1)) {
    const child = directory.children?.get(name);
    if (child !== undefined && child !== "whiteout" && (child.mode & FileType.mask) === FileType.directory) {
      directory = child;
      continue;
    }
    const made = createDirectoryNode({ permissions: 0o755, modified: root.modified });
    directory.children?.set(name, made);
    directory = made;
  }
  directory.children?.set(baseName(path), node);
}

function locate(root: TreeNode, path: Name): { parent: TreeNode; node: TreeNode | undefined } | undefined {
  let parent = root;
  for (const name of path.split("/").slice(0, -1)) {
    const child = parent.children?.get(name);
    if (child === undefined || child === "whiteout") return undefined;
    parent = child;
  }
  const node = parent.children?.get(baseName(path));
  return { parent, node: node === "whiteout" ? undefined : node };
}

function baseName(path: Name): Name {
  return path.slice(path.lastIndexOf("/") + 1);
}
