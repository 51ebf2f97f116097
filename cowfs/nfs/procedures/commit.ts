/** COMMIT (RFC 1813 section 3.3.21): answered when everything written so far, of any range, is on stable storage. */
import { noteBefore, writeChangeData } from "../attributes.ts";
import { Status } from "../status.ts";
import { failWithChangeData } from "./failures.ts";
import type { Procedure } from "./procedure.ts";

export const commit: Procedure = {
  name: "COMMIT",
  effect: "commit",
  run(service, request, args, reply) {
    const id = service.handles.read(args);
    request.first = id;
    args.readUint64();
    args.readUint32();
    const before = noteBefore(service, id);
    reply.writeUint32(Status.ok);
    writeChangeData(service, reply, before, id);
    reply.writeBytes(service.fileSystem.writeVerifier);
  },
  fail: failWithChangeData,
};
