/** SETATTR (RFC 1813 section 3.3.2), with its guard: it changes nothing when the object changed since the client looked. */

import type { Time } from "../../file-system.ts";
import { toOffset } from "../../offsets.ts";
import { noteBefore, readAttributeChange, readTime, writeChangeData } from "../attributes.ts";
import { notSynchronized, Status } from "../status.ts";
import { failWithChangeData } from "./failures.ts";
import type { Procedure } from "./procedure.ts";

export const setAttributes: Procedure = {
  name: "SETATTR",
  effect: "change",
  run(service, request, args, reply) {
    const id = service.handles.read(args);
    request.first = id;
    const change = readAttributeChange(args);
    const guard = args.readBoolean() ? readTime(args) : undefined;
    if (change.size !== undefined) toOffset(change.size);
    const before = noteBefore(service, id);
    if (guard !== undefined && !isSame(guard, before.changed)) throw notSynchronized;
    service.fileSystem.setAttributes(request.caller, id, change);
    reply.writeUint32(Status.ok);
    writeChangeData(service, reply, before, id);
  },
  fail: failWithChangeData,
};

function isSame(one: Time, other: Time): boolean {
  return one.seconds === other.seconds && one.nanoseconds === other.nanoseconds;
}
