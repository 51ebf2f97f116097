/** LINK (RFC 1813 section 3.3.15). */
import { noteBefore, writeChangeData, writePostAttributesOf } from "../attributes.ts";
import { readNewName } from "../names.ts";
import { Status } from "../status.ts";
import { failWithAttributesAndChangeData } from "./failures.ts";
import type { Procedure } from "./procedure.ts";

export const link: Procedure = {
  name: "LINK",
  effect: "change",
  run(service, request, args, reply) {
    const id = service.handles.read(args);
    request.first = id;
    const directory = service.handles.read(args);
    request.second = directory;
    const name = readNewName(args);
    const before = noteBefore(service, directory);
    service.fileSystem.link(request.caller, id, directory, name);
    reply.writeUint32(Status.ok);
    writePostAttributesOf(service, reply, id);
    writeChangeData(service, reply, before, directory);
  },
  fail: failWithAttributesAndChangeData,
};
