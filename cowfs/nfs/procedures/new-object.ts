/** The results that CREATE, MKDIR, SYMLINK and MKNOD share: the new object's handle and attributes, the directory's change. */
import type { FileId } from "../../file-system.ts";
import { type Before, writeChangeData, writePostAttributesOf } from "../attributes.ts";
import { Status } from "../status.ts";
import type { XdrWriter } from "../xdr.ts";
import type { Service } from "./procedure.ts";

export function writeNewObject(
  service: Service,
  reply: XdrWriter,
  id: FileId,
  directoryBefore: Before,
  directory: FileId,
): void {
  reply.writeUint32(Status.ok);
  reply.writeUint32(1);
  service.handles.write(reply, id);
  writePostAttributesOf(service, reply, id);
  writeChangeData(service, reply, directoryBefore, directory);
}
