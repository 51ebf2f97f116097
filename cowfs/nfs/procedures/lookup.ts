/** LOOKUP (RFC 1813 section 3.3.3). */
import { postAttributesBytes, writePostAttributes, writePostAttributesOf } from "../attributes.ts";
import { handleXdrBytes } from "../handles.ts";
import { readName } from "../names.ts";
import { Status } from "../status.ts";
import { failWithAttributes } from "./failures.ts";
import type { Procedure } from "./procedure.ts";

export const lookup: Procedure = {
  name: "LOOKUP",
  effect: "none",
  run(service, request, args, reply) {
    const fileSystem = service.fileSystem;
    const directory = service.handles.read(args);
    request.first = directory;
    const id = fileSystem.lookup(request.caller, directory, readName(args));
    const attributes = fileSystem.getAttributes(id);
    reply.ensure(4 + handleXdrBytes + 2 * postAttributesBytes);
    reply.writeUint32(Status.ok);
    service.handles.write(reply, id);
    writePostAttributes(service, reply, attributes);
    writePostAttributesOf(service, reply, directory);
  },
  fail: failWithAttributes,
};
