/** MKNOD (RFC 1813 section 3.3.11): devices, sockets, fifos. */
import { type AttributeChange, FileType } from "../../file-system.ts";
import { noteBefore, readAttributeChange } from "../attributes.ts";
import { readNewName } from "../names.ts";
import { badType } from "../status.ts";
import type { XdrReader } from "../xdr.ts";
import { failWithChangeData } from "./failures.ts";
import { writeNewObject } from "./new-object.ts";
import type { Procedure } from "./procedure.ts";

export const createSpecial: Procedure = {
  name: "MKNOD",
  effect: "change",
  run(service, request, args, reply) {
    const directory = service.handles.read(args);
    request.first = directory;
    const name = readNewName(args);
    const { type, change, major, minor } = readWhat(args);
    const before = noteBefore(service, directory);
    const id = service.fileSystem.createSpecial(request.caller, directory, name, type, major, minor, change);
    writeNewObject(service, reply, id, before, directory);
  },
  fail: failWithChangeData,
};

interface What {
  readonly type: number;
  readonly change: AttributeChange;
  readonly major: number;
  readonly minor: number;
}

function readWhat(args: XdrReader): What {
  switch (args.readUint32()) {
    case 3:
      return readDevice(args, FileType.block);
    case 4:
      return readDevice(args, FileType.character);
    case 6:
      return { type: FileType.socket, change: readAttributeChange(args), major: 0, minor: 0 };
    case 7:
      return { type: FileType.fifo, change: readAttributeChange(args), major: 0, minor: 0 };
    default:
      throw badType;
  }
}

function readDevice(args: XdrReader, type: number): What {
  const change = readAttributeChange(args);
  return { type, change, major: args.readUint32(), minor: args.readUint32() };
}
