/**
 * Attaching an open /dev/fuse to a directory and taking it off again, by mount(8) and umount(8): Node has neither system
 * call. The kernel takes the device by its descriptor number in the process that calls mount(2), so mount(8) inherits it.
 * Helpers (`-i`) and looking at the paths themselves (`-c`) are off: they would ask the file system that we are to serve.
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { access, constants, readFile, realpath, stat } from "node:fs/promises";
import { resolve } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as delay } from "node:timers/promises";
import { execa } from "execa";
import { XenoError } from "../errors.ts";
import { FileType } from "../file-system.ts";

export const devicePath = "/dev/fuse";
const type = "fuse.xeno";

/** How long a mount that does not answer is waited for before it is taken for dead. */
const answerMs = 2000;
/** How long users may take to leave before the mount is taken from under them. */
const graceMs = 3000;
const retryMs = 50;

export interface MountPoint {
  readonly directory: string;
  /** Of /proc/self/mountinfo; tells our mount from any other at the same place. */
  readonly mountId: string;
}

export interface AttachOptions {
  readonly name: string;
  readonly readOnly: boolean;
  readonly allowDevices: boolean;
  readonly allowSetuid: boolean;
}

/** The absolute path of a directory that can be mounted on; throws a XenoError that says what is wrong otherwise. */
export async function checkMountPoint(given: string): Promise<string> {
  if (process.geteuid?.() !== 0) {
    throw new XenoError("mount-needs-root", `only root can mount on ${given}`, { hint: "run it with sudo" });
  }
  await access(devicePath, constants.R_OK | constants.W_OK).catch((cause: Error) => {
    const hint = "load it with `modprobe fuse`; a container needs the device passed in";
    throw new XenoError("fuse-missing", `${devicePath} cannot be opened: ${cause.message}`, { hint, cause });
  });
  // Before anything asks the directory: a dead or hung mount would answer with an error, or not at all.
  await checkNotMounted(resolve(given));
  const directory = await realpath(given).catch((cause: NodeJS.ErrnoException) => {
    throw new XenoError("mount-point-missing", `${given} cannot be mounted on: ${cause.message}`, {
      hint: `make it with \`mkdir -p ${given}\``,
      cause,
    });
  });
  await checkNotMounted(directory);
  if (!(await stat(directory)).isDirectory()) {
    throw new XenoError("mount-point-missing", `${directory} is no directory`, { hint: "name a directory" });
  }
  return directory;
}

export async function attach(device: number, directory: string, options: AttachOptions): Promise<MountPoint> {
  const flags = [
    "fd=3",
    `rootmode=${FileType.directory.toString(8)}`,
    "user_id=0",
    "group_id=0",
    "allow_other",
    "default_permissions",
    options.readOnly ? "ro" : "rw",
    options.allowDevices ? "dev" : "nodev",
    options.allowSetuid ? "suid" : "nosuid",
  ];
  const args = ["-i", "-n", "-c", "-t", type, "-o", flags.join(","), "--", options.name, directory];
  const child = spawn("mount", args, { stdio: ["ignore", "ignore", "pipe", device] });
  const [[status], stderr] = await Promise.all([once(child, "close"), text(child.stderr!)]);
  const mount = status === 0 ? (await listMounts()).findLast((entry) => entry.directory === directory) : undefined;
  if (mount === undefined) throw new XenoError("mount-failed", `${directory} cannot be mounted on: ${stderr}`);
  return { directory, mountId: mount.mountId };
}

/**
 * Unmounts; where users do not leave in time, aborts their operations and detaches. Does nothing where it is gone.
 * Afterwards the kernel asks nothing more, also where mount namespaces of others hold copies of the mount.
 */
export async function detach({ directory, mountId }: MountPoint, options: { force?: boolean } = {}): Promise<void> {
  const deadline = performance.now() + (options.force ? 0 : graceMs);
  for (;;) {
    const here = (await listMounts()).filter((entry) => entry.directory === directory);
    if (!here.some((entry) => entry.mountId === mountId)) return;
    if (here.at(-1)?.mountId !== mountId) {
      throw new XenoError("mount-covered", `something else was mounted over ${directory}`, {
        hint: `take that off first: \`umount ${directory}\`, twice`,
      });
    }
    const force = performance.now() >= deadline;
    const command = force ? ["umount", ...forcedArguments, "--", directory] : unmountAllCopies(directory);
    const { failed, stderr } = await execa(command[0], command.slice(1), { reject: false });
    if (!failed) return;
    if (force) throw new XenoError("unmount-failed", `${directory} cannot be unmounted: ${stderr}`);
    await delay(retryMs);
  }
}

/**
 * Whoever makes a mount namespace while it is mounted (unshare(1), ip-netns(8), mmdebstrap, a service with a /tmp of its
 * own) gets a copy. Where mounts do not propagate, unmounting ours leaves that one, and the kernel serves it until that
 * namespace ends. So we make a namespace too, unmount ours gently from there, and if it had no users, force the copy
 * that we hold: that ends the connection for all of them. Their copies go dead.
 */
function unmountAllCopies(directory: string): string[] {
  const gentle = `nsenter --mount=/proc/${process.pid}/ns/mnt umount ${gentleArguments.join(" ")} -- "$0"`;
  const script = `${gentle} && umount ${[...gentleArguments, "-f"].join(" ")} -- "$0"`;
  return ["unshare", "--mount", "--propagation=private", "sh", "-c", script, directory];
}

/** The same at once, without the event loop, for a process that is about to end. */
export function detachNow({ directory }: MountPoint): void {
  spawnSync("umount", [...forcedArguments, "--", directory], { stdio: "ignore" });
}

const gentleArguments = ["-i", "-n", "-c"];
/** `-f` ends the connection, so that nobody waits for us any more; `-l` detaches however many still hold it. */
const forcedArguments = [...gentleArguments, "-f", "-l"];

async function checkNotMounted(directory: string): Promise<void> {
  const mount = (await listMounts()).findLast((entry) => entry.directory === directory);
  if (mount === undefined) return;
  const answer = await Promise.race([
    stat(directory).then(
      () => undefined,
      (thrown: NodeJS.ErrnoException) => thrown.code,
    ),
    delay(answerMs, "silent", { ref: false }),
  ]);
  if (answer === undefined) {
    throw new XenoError("mount-point-busy", `${mount.source} (${mount.type}) is already mounted on ${directory}`, {
      hint: `choose another directory, or take it off with \`umount ${directory}\``,
    });
  }
  const reason = answer === "ENOTCONN" ? "its server is gone" : `it does not answer (${answer})`;
  throw new XenoError("mount-point-dead", `an earlier mount of ${mount.source} on ${directory} is dead: ${reason}`, {
    hint: `clear it with \`umount -l ${directory}\``,
  });
}

interface MountEntry {
  readonly mountId: string;
  readonly directory: string;
  readonly type: string;
  readonly source: string;
}

/** proc_pid_mountinfo(5), in the order of mounting. */
async function listMounts(): Promise<MountEntry[]> {
  const lines = (await readFile("/proc/self/mountinfo", "utf8")).split("\n").filter((line) => line !== "");
  return lines.map((line) => {
    const fields = line.split(" ");
    const optional = fields.indexOf("-");
    const [mountId, , , , directory] = fields;
    return {
      mountId,
      directory: decodeOctal(directory),
      type: fields[optional + 1],
      source: decodeOctal(fields[optional + 2]),
    };
  });
}

/** Spaces, tabs, newlines and backslashes are written as three octal digits. */
function decodeOctal(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
