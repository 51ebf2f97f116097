/** SYMLINK (RFC 1813 section 3.3.10). */
import { noteBefore, readAttributeChange } from "../attributes.ts";
import { maxLinkTargetBytes, maxRecordBytes } from "../limits.ts";
import { readNewName } from "../names.ts";
import { invalid, nameTooLong } from "../status.ts";
import { failWithChangeData } from "./failures.ts";
import { writeNewObject } from "./new-object.ts";
import type { Procedure } from "./procedure.ts";

export const createSymlink: Procedure = {
  name: "SYMLINK",
  effect: "change",
  run(service, request, args, reply) {
    const directory = service.handles.read(args);
    request.first = directory;
    const name = readNewName(args);
    const change = readAttributeChange(args);
    const target = args.readString(maxRecordBytes);
    if (target.length > maxLinkTargetBytes) throw nameTooLong;
    if (target === "" || target.includes("\0")) throw invalid;
    const before = noteBefore(service, directory);
    const id = service.fileSystem.createSymlink(request.caller, directory, name, target, change);
    writeNewObject(service, reply, id, before, directory);
  },
  fail: failWithChangeData,
};
