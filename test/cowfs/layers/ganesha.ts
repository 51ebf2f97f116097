/** nfs-ganesha, serving a directory of this machine over NFSv3 for the tests of a file, found by its portmapper. */
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { TestFn } from "ava";
import { type Child, startChild } from "../../../bench/nfs/child.ts";

const startDeadlineMs = 120_000;
const portmapPort = 111;

export interface ExportedDirectory {
  /** Known once the file's tests run. */
  readonly directory: string;
}

export function exportDirectory(test: TestFn): ExportedDirectory {
  const exported = { directory: "" };
  const children: Child[] = [];
  test.before(async () => {
    // Ganesha needs a file system that can open files by handle: not the one in memory.
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), "xeno-ganesha-"));
    exported.directory = directory;
    const log = path.join(directory, "log");
    // Another one on this machine serves as well.
    if (!(await accepts(portmapPort))) {
      children.push(startChild(["rpcbind", "-f", "-w"], log));
      await untilListening(portmapPort, log);
    }
    const [nfsPort, mountPort] = [await findPort(), await findPort()];
    const configuration = path.join(directory, "ganesha.conf");
    fs.writeFileSync(configuration, configure(directory, nfsPort, mountPort));
    const words = ["ganesha.nfsd", "-F", "-f", configuration, "-L", log, "-p", path.join(directory, "pid")];
    children.push(startChild([...words, "-N", "NIV_EVENT"], log));
    await untilListening(nfsPort, log);
    await untilListening(mountPort, log);
  });
  test.after.always(async () => {
    // Its own way down takes long, and nothing of it is kept.
    for (const child of children.reverse()) await child.end("SIGKILL");
    fs.rmSync(exported.directory, { recursive: true, force: true });
  });
  return exported;
}

function configure(directory: string, nfsPort: number, mountPort: number): string {
  return `NFS_CORE_PARAM {
  NFS_Protocols = 3;
  NFS_Port = ${nfsPort};
  MNT_Port = ${mountPort};
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
  FSAL { Name = VFS; }
}
`;
}

async function findPort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function untilListening(port: number, log: string): Promise<void> {
  const end = performance.now() + startDeadlineMs;
  while (!(await accepts(port))) {
    if (performance.now() > end) throw new Error(`nothing listens on port ${port}: ${fs.readFileSync(log, "utf8")}`);
    await delay(50);
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
