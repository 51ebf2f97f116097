/** REMOVE and RMDIR (RFC 1813 sections 3.3.12 and 3.3.13). */
import { noteBefore, writeChangeData } from "../attributes.ts";
import { readDirectoryNameToRemove, readOldName } from "../names.ts";
import { Status } from "../status.ts";
import { failWithChangeData } from "./failures.ts";
import type { Procedure } from "./procedure.ts";

export const removeFile: Procedure = {
  name: "REMOVE",
  effect: "change",
  run(service, request, args, reply) {
    const directory = service.handles.read(args);
    request.first = directory;
    const name = readOldName(args);
    const before = noteBefore(service, directory);
    service.fileSystem.removeFile(request.caller, directory, name);
    reply.writeUint32(Status.ok);
    writeChangeData(service, reply, before, directory);
  },
  fail: failWithChangeData,
};

export const removeDirectory: Procedure = {
  name: "RMDIR",
  effect: "change",
  run(service, request, args, reply) {
    const directory = service.handles.read(args);
    request.first = directory;
    const name = readDirectoryNameToRemove(args);
    const before = noteBefore(service, directory);
    service.fileSystem.removeDirectory(request.caller, directory, name);
    reply.writeUint32(Status.ok);
    writeChangeData(service, reply, before, directory);
  },
  fail: failWithChangeData,
};
