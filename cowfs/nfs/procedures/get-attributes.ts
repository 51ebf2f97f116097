/** GETATTR (RFC 1813 section 3.3.1). */
import { writeAttributes } from "../attributes.ts";
import { Status } from "../status.ts";
import { failPlainly } from "./failures.ts";
import type { Procedure } from "./procedure.ts";

export const getAttributes: Procedure = {
  name: "GETATTR",
  effect: "none",
  run(service, _request, args, reply) {
    const attributes = service.fileSystem.getAttributes(service.handles.read(args));
    reply.writeUint32(Status.ok);
    writeAttributes(service, reply, attributes);
  },
  fail: failPlainly,
};
