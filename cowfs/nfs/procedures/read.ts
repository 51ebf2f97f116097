/**
 * READ (RFC 1813 section 3.3.6): bytes go from the layer's file straight into the reply.
 *
 * `eof` is set exactly when the bytes returned reach the file's end, also for a read that starts at or after it.
 */
import { exactSize } from "../../file-system.ts";
import { clampOffset, countFrom } from "../../offsets.ts";
import { postAttributesBytes, writePostAttributes } from "../attributes.ts";
import { maxTransferBytes } from "../limits.ts";
import { Status } from "../status.ts";
import { failWithAttributes } from "./failures.ts";
import type { Procedure } from "./procedure.ts";

export const read: Procedure = {
  name: "READ",
  effect: "none",
  run(service, request, args, reply) {
    const fileSystem = service.fileSystem;
    const id = service.handles.read(args);
    request.first = id;
    const offset = args.readOffset();
    const requested = Math.min(args.readUint32(), maxTransferBytes);
    const attributes = fileSystem.getAttributes(id);
    const size = exactSize(attributes);
    const length = countFrom(offset, size, requested);
    reply.ensure(4 + postAttributesBytes + 12 + length + 4);
    reply.writeUint32(Status.ok);
    writePostAttributes(service, reply, attributes);
    // Past the count, the eof flag and the length, which are known only then.
    const count = fileSystem.read(request.caller, id, clampOffset(offset), length, reply.bytes, reply.position + 12);
    reply.writeUint32(count);
    reply.writeBoolean(count === countFrom(offset, size, count + 1));
    reply.writeUint32(count);
    reply.position += count;
    reply.pad(count);
    if (service.watched.size > 0 && service.watched.delete(id)) service.onFirstRead(id);
  },
  fail: failWithAttributes,
};
