/** ACCESS (RFC 1813 section 3.3.4). */
import { writePostAttributes } from "../attributes.ts";
import { Status } from "../status.ts";
import { failWithAttributes } from "./failures.ts";
import type { Procedure } from "./procedure.ts";

const allBits = 0x3f;

export const access: Procedure = {
  name: "ACCESS",
  effect: "none",
  run(service, request, args, reply) {
    const fileSystem = service.fileSystem;
    const id = service.handles.read(args);
    request.first = id;
    const mask = args.readUint32() & allBits;
    const allowed = fileSystem.access(request.caller, id, mask);
    const attributes = fileSystem.getAttributes(id);
    reply.writeUint32(Status.ok);
    writePostAttributes(service, reply, attributes);
    reply.writeUint32(allowed & mask);
  },
  fail: failWithAttributes,
};
