/** CREATE (RFC 1813 section 3.3.8): UNCHECKED, GUARDED, and EXCLUSIVE, whose verifier the file system keeps. */
import type { AttributeChange, CreateMode } from "../../file-system.ts";
import { noteBefore, readAttributeChange } from "../attributes.ts";
import { readNewName } from "../names.ts";
import { invalid } from "../status.ts";
import type { XdrReader } from "../xdr.ts";
import { failWithChangeData } from "./failures.ts";
import { writeNewObject } from "./new-object.ts";
import type { Procedure } from "./procedure.ts";

export const create: Procedure = {
  name: "CREATE",
  effect: "change",
  run(service, request, args, reply) {
    const directory = service.handles.read(args);
    request.first = directory;
    const name = readNewName(args);
    const { mode, change } = readHow(args);
    const before = noteBefore(service, directory);
    const id = service.fileSystem.createFile(request.caller, directory, name, change, mode);
    writeNewObject(service, reply, id, before, directory);
  },
  fail: failWithChangeData,
};

function readHow(args: XdrReader): { mode: CreateMode; change: AttributeChange } {
  switch (args.readUint32()) {
    case 0:
      return { mode: { kind: "unchecked" }, change: readAttributeChange(args) };
    case 1:
      return { mode: { kind: "guarded" }, change: readAttributeChange(args) };
    case 2:
      return { mode: { kind: "exclusive", verifier: args.readBigUint64() }, change: {} };
    default:
      throw invalid;
  }
}
