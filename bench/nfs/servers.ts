/** The two contenders, each started fresh: an empty writable layer over the same lower files. */
import { mkdir, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { XenoError } from "../../cowfs/errors.ts";
import { type Child, runChild, startChild } from "./child.ts";

export interface Server {
  readonly name: "xeno" | "ganesha";
  readonly pid: number;
  readonly nfsPort: number;
  readonly mountPort: number;
  readonly path: string;
  end(): Promise<void>;
}

export interface ServerPlace {
  /** Empty, on the storage to be measured: the writable layer goes here. */
  readonly directory: string;
  /** The lower files as a directory; for ours the home and URL that they were published to. */
  readonly lower: string;
  readonly home: string;
  readonly url: string;
  readonly logs: string;
  readonly core: number | undefined;
  /** Ours. */
  readonly unsafeAsync?: boolean;
  readonly profile: string | undefined;
}

const host = "127.0.0.1";
const startDeadlineMs = 30_000;
const ganeshaPorts = { nfs: 2049, mount: 20048 };
const program = new URL("our-server.ts", import.meta.url).pathname;

export async function startOurs({
  directory,
  home,
  url,
  logs,
  core,
  unsafeAsync,
  profile,
}: ServerPlace): Promise<Server> {
  const profiling = profile === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${profile}`];
  const journal = join(directory, "journal");
  const words = [
    process.execPath,
    "--no-warnings",
    ...profiling,
    program,
    home,
    journal,
    url,
    ...(unsafeAsync ? ["async"] : []),
  ];
  const child = startChild(words, join(logs, "xeno.log"), core);
  const port = Number(await child.readLine());
  return { name: "xeno", pid: child.pid, nfsPort: port, mountPort: port, path: "/", end: () => child.end() };
}

/** nfs-ganesha on kernel overlayfs. Needs a running rpcbind. */
export async function startGanesha({ directory, lower, logs, core }: ServerPlace): Promise<Server> {
  const [upper, work, merged] = ["upper", "work", "merged"].map((name) => join(directory, name));
  for (const made of [upper, work, merged]) await mkdir(made);
  const log = join(logs, "ganesha.log");
  // xino: ganesha refuses files whose device is not their directory's, as it is where the layers lie on two file systems.
  const options = `nfs_export=on,index=on,xino=on,lowerdir=${lower},upperdir=${upper},workdir=${work}`;
  await runChild(["mount", "-t", "overlay", "overlay", "-o", options, merged], log);
  const unmount = () => runChild(["umount", merged], log);
  const configuration = join(directory, "ganesha.conf");
  await writeFile(configuration, configureGanesha(merged));
  const child = startChild(
    ["ganesha.nfsd", "-F", "-f", configuration, "-L", log, "-p", join(directory, "pid"), "-N", "NIV_EVENT"],
    log,
    core,
  );
  try {
    await untilListening(child, ganeshaPorts.nfs);
    await untilListening(child, ganeshaPorts.mount);
  } catch (error) {
    await child.end("SIGKILL");
    await unmount();
    throw error;
  }
  return {
    name: "ganesha",
    pid: child.pid,
    nfsPort: ganeshaPorts.nfs,
    mountPort: ganeshaPorts.mount,
    path: merged,
    async end() {
      // Its own way down takes long, and nothing of it is kept.
      await child.end("SIGKILL");
      await unmount();
    },
  };
}

/** As a user would set it up for one guest's root: NFSv3 over TCP, root is root, the largest transfers. */
function configureGanesha(directory: string): string {
  return `NFS_CORE_PARAM {
  NFS_Protocols = 3;
  NFS_Port = ${ganeshaPorts.nfs};
  MNT_Port = ${ganeshaPorts.mount};
  Enable_NLM = false;
  Enable_RQUOTA = false;
}
NFSV4 { Graceless = true; }
EXPORT {
  Export_Id = 1;
  Path = ${directory};
  Pseudo = ${directory};
  Protocols = 3;
  Transports = TCP;
  Access_Type = RW;
  Squash = No_Root_Squash;
  SecType = sys;
  Filesystem_Id = 192.168;
  MaxRead = 1048576;
  MaxWrite = 1048576;
  PrefRead = 1048576;
  PrefWrite = 1048576;
  FSAL { Name = VFS; }
}
`;
}

export async function startRpcbind(logs: string): Promise<Child> {
  const child = startChild(["rpcbind", "-f", "-w"], join(logs, "rpcbind.log"));
  await untilListening(child, 111);
  return child;
}

async function untilListening(child: Child, port: number): Promise<void> {
  const deadline = performance.now() + startDeadlineMs;
  let ended: unknown;
  void child.ended.then((how) => {
    ended = how;
  });
  while (!(await accepts(port))) {
    if (ended !== undefined || performance.now() > deadline)
      throw new XenoError("peer-failed", `nothing listens on port ${port}, where ${child.pid} should (${ended})`);
    await delay(50);
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, host);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
