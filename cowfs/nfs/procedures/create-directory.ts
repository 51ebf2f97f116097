/** MKDIR (RFC 1813 section 3.3.9). */
import { noteBefore, readAttributeChange } from "../attributes.ts";
import { readNewName } from "../names.ts";
import { failWithChangeData } from "./failures.ts";
import { writeNewObject } from "./new-object.ts";
import type { Procedure } from "./procedure.ts";

export const createDirectory: Procedure = {
  name: "MKDIR",
  effect: "change",
  run(service, request, args, reply) {
    const directory = service.handles.read(args);
    request.first = directory;
    const name = readNewName(args);
    const change = readAttributeChange(args);
    const before = noteBefore(service, directory);
    const id = service.fileSystem.createDirectory(request.caller, directory, name, change);
    writeNewObject(service, reply, id, before, directory);
  },
  fail: failWithChangeData,
};
