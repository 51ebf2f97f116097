/**
 * Building an overlay as a client would: a fresh journal over a template, mounted through FUSE, and a script run in a
 * chroot of it. What the script changed is the overlay.
 *
 * The journal's `.mount` names the template by the id that its name meant, so the overlay lies over exactly what it was
 * built on. The script is the client's own and runs as root on the client's own machine: the chroot, with mount, PID
 * and IPC namespaces of its own, keeps it from the host by accident only.
 */
import { spawn } from "node:child_process";
import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { execa } from "execa";
import { XenoError } from "../../cowfs/errors.ts";
import { mountFileSystem } from "../../cowfs/fuse/mount.ts";
import { mountFileName } from "../../cowfs/union/mount-file.ts";
import { openUnion, type UnionFileSystem } from "../../cowfs/union/union.ts";
import type { Layers } from "../layers/open-layers.ts";

export interface OverlayBuild {
  readonly layers: Layers;
  /** What to build on: `template://Debian/12/current`, or another overlay. */
  readonly from: string;
  /** A program with a `#!` line; it is copied into the chroot and run there. */
  readonly script: string;
  /** The new journal's directory; it must not exist. */
  readonly journal: string;
  readonly signal: AbortSignal;
  /** Each line that the script prints. */
  readonly onOutput?: (line: string) => void;
}

const root = { uid: 0, gid: 0, groups: [] };
const tailLines = 20;
const mountPointPrefix = "xeno-overlay-";

/** Throws `overlay-script-failed` with the end of its output, and what mounting and resolving throw. */
export async function buildOverlay(build: OverlayBuild): Promise<void> {
  const script = await readScript(build.script);
  const { tree } = await build.layers.resolveUrl(build.from, build.signal);
  const union = await openUnion({ journal: build.journal, resolve: build.layers.resolve, signal: build.signal });
  try {
    writeMountFile(union, build.from, await build.layers.pin(build.from, tree, build.signal));
    await runInUnion(union, script, build);
  } finally {
    await union.close();
  }
}

function writeMountFile(union: UnionFileSystem, from: string, pinned: string): void {
  const text = `# ${from}\n.\nro ${pinned}\n`;
  union.transact(undefined, () => {
    const id = union.createFile(root, union.rootId, mountFileName, { mode: 0o644 }, { kind: "guarded" });
    union.write(root, id, 0, Buffer.from(text));
    return Buffer.alloc(0);
  });
  union.flush();
}

async function runInUnion(union: UnionFileSystem, script: Buffer, build: OverlayBuild): Promise<void> {
  await sweepDeadMounts();
  const directory = await fs.mkdtemp(path.join(os.tmpdir(), mountPointPrefix));
  try {
    const mount = await mountFileSystem(union, directory, {
      name: build.from,
      allowDevices: true,
      allowSetuid: true,
      holdsMounts: true,
      signal: build.signal,
    });
    try {
      await runScript(directory, script, build);
    } finally {
      await mount.unmount();
    }
  } finally {
    // Only the empty mount point: were it still mounted, removing what is in it would remove it from the overlay.
    await fs.rmdir(directory);
  }
}

/** A build that was killed leaves a mount that nobody serves: any access to it says ENOTCONN. */
async function sweepDeadMounts(): Promise<void> {
  for (const name of await fs.readdir(os.tmpdir())) {
    if (!name.startsWith(mountPointPrefix)) continue;
    const directory = path.join(os.tmpdir(), name);
    const { code } = await fs.lstat(directory).then(
      () => ({ code: undefined }),
      (error: NodeJS.ErrnoException) => error,
    );
    if (code !== "ENOTCONN") continue;
    await execa("umount", [directory], { reject: false, stdin: "ignore" });
    await fs.rmdir(directory).catch(() => {});
  }
}

/**
 * What runs inside the namespaces before the script: the file systems that programs expect. Services must not start
 * while packages are installed: policy-rc.d says so to Debian's maintainer scripts, and is gone before the overlay is.
 */
const enter = `
set -e
root=$1
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755,size=16m tmpfs "$root/dev"
for node in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0; do
  IFS=: read -r name major minor <<EOF
$node
EOF
  mknod -m 666 "$root/dev/$name" c "$major" "$minor"
done
ln -s /proc/self/fd "$root/dev/fd"
mkdir -m 1777 "$root/dev/shm" && mkdir "$root/dev/pts"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
if [ -e "$root/etc/resolv.conf" ] && [ ! -L "$root/etc/resolv.conf" ]; then
  mount --bind /etc/resolv.conf "$root/etc/resolv.conf"
fi
policy="$root/usr/sbin/policy-rc.d"
if [ -d "$root/usr/sbin" ] && [ ! -e "$policy" ]; then
  printf '#!/bin/sh\\nexit 101\\n' > "$policy"
  chmod 755 "$policy"
  trap 'rm -f "$policy"' EXIT
fi
cat > "$root/run/xeno-build"
chmod 755 "$root/run/xeno-build"
chroot "$root" /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \\
  LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive /run/xeno-build < /dev/null
`;

async function runScript(directory: string, script: Buffer, build: OverlayBuild): Promise<void> {
  const namespaces = ["--mount", "--pid", "--ipc", "--fork", "--kill-child", "--propagation", "private"];
  // Killed, we take the script along: unshare dies with us, and what runs inside with unshare.
  const withUs = ["--pdeathsig", "KILL", "unshare"];
  const child = spawn("setpriv", [...withUs, ...namespaces, "sh", "-c", enter, "enter", directory], {
    stdio: ["pipe", "pipe", "pipe"],
    signal: build.signal,
    killSignal: "SIGKILL",
  });
  const tail: string[] = [];
  const collect = (stream: NodeJS.ReadableStream) => {
    let rest = "";
    stream.setEncoding("utf8");
    stream.on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!.slice(-4096);
      for (const line of lines) {
        tail.push(line);
        if (tail.length > tailLines) tail.shift();
        build.onOutput?.(line);
      }
    });
  };
  collect(child.stdout);
  collect(child.stderr);
  child.stdin.on("error", () => {});
  child.stdin.end(script);
  const status = await new Promise<string>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => resolve(code === null ? `signal ${signal}` : String(code)));
  });
  build.signal.throwIfAborted();
  if (status !== "0")
    throw new XenoError("overlay-script-failed", `${build.script} ended with ${status}:\n${tail.join("\n")}`, {
      hint: "Nothing was published. Mend the script and build again.",
    });
}

async function readScript(file: string): Promise<Buffer> {
  const script = await fs.readFile(file).catch((cause) => {
    throw new XenoError("script-unreadable", `cannot read the script ${file}: ${cause.message}`, { cause });
  });
  if (script.toString("latin1", 0, 2) !== "#!")
    throw new XenoError("script-unreadable", `the script ${file} does not begin with #!`, {
      hint: "Begin it with #!/bin/sh -e, so that it ends at the first command that fails.",
    });
  return script;
}
