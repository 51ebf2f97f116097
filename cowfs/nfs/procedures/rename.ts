/** RENAME (RFC 1813 section 3.3.14). */
import { noteBefore, writeChangeData } from "../attributes.ts";
import { readOldName } from "../names.ts";
import { Status } from "../status.ts";
import { failWithTwoChangeData } from "./failures.ts";
import type { Procedure } from "./procedure.ts";

export const rename: Procedure = {
  name: "RENAME",
  effect: "change",
  run(service, request, args, reply) {
    const from = service.handles.read(args);
    request.first = from;
    const fromName = readOldName(args);
    const to = service.handles.read(args);
    request.second = to;
    const toName = readOldName(args);
    const fromBefore = noteBefore(service, from);
    const toBefore = noteBefore(service, to);
    service.fileSystem.rename(request.caller, from, fromName, to, toName);
    reply.writeUint32(Status.ok);
    writeChangeData(service, reply, fromBefore, from);
    writeChangeData(service, reply, toBefore, to);
  },
  fail: failWithTwoChangeData,
};
