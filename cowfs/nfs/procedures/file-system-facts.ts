/** FSSTAT, FSINFO and PATHCONF (RFC 1813 sections 3.3.18 to 3.3.20). */
import { maxFileBytes } from "../../offsets.ts";
import { writePostAttributes } from "../attributes.ts";
import { maxNameBytes, maxTransferBytes, preferredDirectoryBytes } from "../limits.ts";
import { Status } from "../status.ts";
import { failWithAttributes } from "./failures.ts";
import type { Procedure } from "./procedure.ts";

/** Hard links, symbolic links, the same limits for all files, and times that can be set. */
const properties = 0x01 | 0x02 | 0x08 | 0x10;
const preferredMultiple = 4096;
const maxLinks = 65000;

export const fileSystemStatistics: Procedure = {
  name: "FSSTAT",
  effect: "none",
  run(service, request, args, reply) {
    const id = service.handles.read(args);
    request.first = id;
    const attributes = service.fileSystem.getAttributes(id);
    const statistics = service.fileSystem.statistics();
    reply.writeUint32(Status.ok);
    writePostAttributes(service, reply, attributes);
    reply.writeUint64(statistics.totalBytes);
    reply.writeUint64(statistics.freeBytes);
    reply.writeUint64(statistics.availableBytes);
    reply.writeUint64(statistics.totalFiles);
    reply.writeUint64(statistics.freeFiles);
    reply.writeUint64(statistics.freeFiles);
    // These numbers may change at once.
    reply.writeUint32(0);
  },
  fail: failWithAttributes,
};

export const fileSystemInformation: Procedure = {
  name: "FSINFO",
  effect: "none",
  run(service, request, args, reply) {
    const id = service.handles.read(args);
    request.first = id;
    const attributes = service.fileSystem.getAttributes(id);
    reply.writeUint32(Status.ok);
    writePostAttributes(service, reply, attributes);
    for (let reading = 0; reading < 2; reading++) {
      reply.writeUint32(maxTransferBytes);
      reply.writeUint32(maxTransferBytes);
      reply.writeUint32(preferredMultiple);
    }
    reply.writeUint32(preferredDirectoryBytes);
    reply.writeOffset(maxFileBytes);
    // Times are kept to the nanosecond.
    reply.writeUint32(0);
    reply.writeUint32(1);
    reply.writeUint32(properties);
  },
  fail: failWithAttributes,
};

export const pathConfiguration: Procedure = {
  name: "PATHCONF",
  effect: "none",
  run(service, request, args, reply) {
    const id = service.handles.read(args);
    request.first = id;
    const attributes = service.fileSystem.getAttributes(id);
    reply.writeUint32(Status.ok);
    writePostAttributes(service, reply, attributes);
    reply.writeUint32(maxLinks);
    reply.writeUint32(maxNameBytes);
    // No truncation of names, chown for root only, names compared bytewise and kept.
    reply.writeBoolean(true);
    reply.writeBoolean(true);
    reply.writeBoolean(false);
    reply.writeBoolean(true);
  },
  fail: failWithAttributes,
};
