/** READLINK (RFC 1813 section 3.3.5). */
import { postAttributesBytes, writePostAttributes } from "../attributes.ts";
import { Status } from "../status.ts";
import { failWithAttributes } from "./failures.ts";
import type { Procedure } from "./procedure.ts";

export const readLink: Procedure = {
  name: "READLINK",
  effect: "none",
  run(service, request, args, reply) {
    const fileSystem = service.fileSystem;
    const id = service.handles.read(args);
    request.first = id;
    const target = fileSystem.readLink(request.caller, id);
    const attributes = fileSystem.getAttributes(id);
    reply.ensure(postAttributesBytes + 12 + target.length);
    reply.writeUint32(Status.ok);
    writePostAttributes(service, reply, attributes);
    reply.writeString(target);
  },
  fail: failWithAttributes,
};
