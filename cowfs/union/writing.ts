/** WRITE: bytes go to the journal's segments; the file keeps what it did not overwrite, wherever that lies. */
import { FileSystemError } from "../errors.ts";
import type { Caller, FileId } from "../file-system.ts";
import { dropPrivileges, maxFileBytes } from "./changing-attributes.ts";
import type { UnionCore } from "./core.ts";
import { Permission, requirePermission } from "./permissions.ts";
import { requireRegular } from "./reading.ts";

/** An owner may write whatever the mode says: the client has checked at open (RFC 1813 section 4.4). */
export function writeFile(core: UnionCore, caller: Caller, id: FileId, offset: number, data: Buffer): void {
  const before = core.attributes(id);
  requireRegular(before.mode);
  if (caller.uid !== before.uid) requirePermission(caller, before, Permission.write);
  if (offset + data.length > maxFileBytes) throw new FileSystemError("EFBIG");
  if (data.length === 0) return;
  const { address, checksum } = core.journal.appendData(data);
  core.copyUp(id);
  core.journal.apply({ kind: "lay", id, extent: { offset, length: data.length, address }, checksum });
  core.journal.apply({
    kind: "wrote",
    id,
    size: Math.max(before.size, offset + data.length),
    mode: caller.uid === 0 ? before.mode : dropPrivileges(before.mode),
    time: core.clock(),
  });
  core.noteContent(id);
}
