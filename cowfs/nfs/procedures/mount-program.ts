/**
 * The MOUNT program, version 3 (RFC 1813 appendix I), on the same port as NFS.
 *
 * A client names the export's path, or a directory below it. Links are not followed, and every directory on the way
 * must let the caller through.
 */
import { FileSystemError } from "../../errors.ts";
import { Fault } from "../../fault.ts";
import { type FileId, FileType } from "../../file-system.ts";
import { maxNameBytes } from "../limits.ts";
import { NfsError, Status } from "../status.ts";
import type { XdrWriter } from "../xdr.ts";
import { nullProcedure } from "./null.ts";
import type { Procedure, Program, Request, Service } from "./procedure.ts";

/** MNTPATHLEN. */
const maxPathBytes = 1024;
const authenticationSystem = 1;
/** mountstat3 shares NFS3's numbers as far as it goes; the rest become MNT3ERR_SERVERFAULT. */
const mountStatuses: ReadonlySet<number> = new Set([
  Status.perm,
  Status.noent,
  Status.io,
  Status.acces,
  Status.notdir,
  Status.inval,
  Status.nametoolong,
  Status.notsupp,
]);

const mount: Procedure = {
  name: "MNT",
  effect: "none",
  run(service, request, args, reply) {
    const path = args.readString(maxPathBytes);
    const id = walk(service, request, path);
    const need = service.needBeforeMount(request.peer);
    if (need !== undefined) throw new Fault([need]);
    reply.writeUint32(Status.ok);
    service.handles.write(reply, id);
    reply.writeUint32(1);
    reply.writeUint32(authenticationSystem);
    service.mounts.add(request.peer.host, path);
    service.onMount(path, request.peer.host);
  },
  fail(_service, _request, status, reply) {
    reply.writeUint32(mountStatuses.has(status) ? status : Status.serverfault);
  },
};

function walk(service: Service, request: Request, path: string): FileId {
  const fileSystem = service.fileSystem;
  let id = fileSystem.rootId;
  for (const name of namesBelow(service.exportPath, path)) {
    if (name.length > maxNameBytes) throw new FileSystemError("ENAMETOOLONG");
    if (name.includes("\0")) throw new FileSystemError("EINVAL");
    id = fileSystem.lookup(request.caller, id, name);
  }
  if ((fileSystem.getAttributes(id).mode & FileType.mask) !== FileType.directory) throw new NfsError(Status.notdir);
  return id;
}

function namesBelow(exportPath: string, path: string): string[] {
  const exported = exportPath.split("/").filter(isName);
  const asked = path.split("/").filter(isName);
  // Empty paths too, although libnfs sends one for a file in the root (its users write `//file`): it goes no further anyway.
  if (!path.startsWith("/") || exported.some((name, i) => name !== asked[i])) throw new FileSystemError("ENOENT");
  const below = asked.slice(exported.length);
  if (below.includes("..")) throw new FileSystemError("EACCES");
  return below;
}

function isName(part: string): boolean {
  return part !== "" && part !== ".";
}

const dump: Procedure = {
  name: "DUMP",
  effect: "none",
  run(service, _request, _args, reply) {
    for (const { host, path } of service.mounts.list()) {
      reply.ensure(host.length + path.length + 24);
      reply.writeUint32(1);
      reply.writeString(host);
      reply.writeString(path);
    }
    reply.writeUint32(0);
  },
  fail: answerNothing,
};

const unmount: Procedure = {
  name: "UMNT",
  effect: "none",
  run(service, request, args) {
    service.mounts.remove(request.peer.host, args.readString(maxPathBytes));
  },
  fail: answerNothing,
};

const unmountAll: Procedure = {
  name: "UMNTALL",
  effect: "none",
  run(service, request) {
    service.mounts.removeAll(request.peer.host);
  },
  fail: answerNothing,
};

const listExports: Procedure = {
  name: "EXPORT",
  effect: "none",
  run(service, _request, _args, reply) {
    reply.writeUint32(1);
    reply.writeString(service.exportPath);
    // No groups: whoever reaches this port may mount it.
    reply.writeUint32(0);
    reply.writeUint32(0);
  },
  fail: answerNothing,
};

function answerNothing(_service: Service, _request: Request, _status: number, _reply: XdrWriter): void {}

export const mountProgram: Program = {
  number: 100005,
  version: 3,
  procedures: [nullProcedure, mount, dump, unmount, unmountAll, listExports],
};
