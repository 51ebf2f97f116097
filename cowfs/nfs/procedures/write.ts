/**
 * WRITE (RFC 1813 section 3.3.7).
 *
 * An UNSTABLE write is acknowledged when the operating system has it: it survives this process at once and the host
 * after COMMIT. The others are promised as FILE_SYNC and wait for stable storage.
 */
import { addToOffset } from "../../offsets.ts";
import { noteBefore, writeChangeData } from "../attributes.ts";
import { maxTransferBytes } from "../limits.ts";
import { invalid, Status } from "../status.ts";
import { failWithChangeData } from "./failures.ts";
import type { Procedure } from "./procedure.ts";

const unstable = 0;
const fileSync = 2;

export const write: Procedure = {
  name: "WRITE",
  effect: "change",
  run(service, request, args, reply) {
    const fileSystem = service.fileSystem;
    const id = service.handles.read(args);
    request.first = id;
    const offset = args.readOffset();
    const count = args.readUint32();
    const stability = args.readUint32();
    const data = args.readOpaque(maxTransferBytes);
    if (stability > fileSync || data.length !== count) throw invalid;
    // Throws EFBIG where no file reaches that far.
    addToOffset(offset, count);
    request.stable = stability !== unstable;
    const before = noteBefore(service, id);
    fileSystem.write(request.caller, id, offset, data);
    reply.writeUint32(Status.ok);
    writeChangeData(service, reply, before, id);
    reply.writeUint32(count);
    reply.writeUint32(request.stable ? fileSync : unstable);
    reply.writeBytes(fileSystem.writeVerifier);
  },
  fail: failWithChangeData,
};
