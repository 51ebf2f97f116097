/**
 * The portmapper, version 2 (RFC 1833 section 3): every program is on the port at which the question arrived. It takes
 * no registrations and forwards no calls.
 */
import type { XdrReader } from "../xdr.ts";
import { lockProgram, monitorProgram } from "./lock-program.ts";
import { mountProgram } from "./mount-program.ts";
import { nfsProgram } from "./nfs-program.ts";
import { nullProcedure } from "./null.ts";
import type { Procedure, Program } from "./procedure.ts";

const tcp = 6;

const refuse: Procedure = {
  name: "SET",
  effect: "none",
  run(_service, _request, _args, reply) {
    reply.writeBoolean(false);
  },
  fail() {},
};

const getPort: Procedure = {
  name: "GETPORT",
  effect: "none",
  run(_service, request, args, reply) {
    reply.writeUint32(isServed(args) ? request.peer.localPort : 0);
  },
  fail() {},
};

function isServed(args: XdrReader): boolean {
  const number = args.readUint32();
  const version = args.readUint32();
  const protocol = args.readUint32();
  return protocol === tcp && served().some((program) => program.number === number && program.version === version);
}

const dump: Procedure = {
  name: "DUMP",
  effect: "none",
  run(_service, request, _args, reply) {
    for (const program of served()) {
      reply.writeUint32(1);
      reply.writeUint32(program.number);
      reply.writeUint32(program.version);
      reply.writeUint32(tcp);
      reply.writeUint32(request.peer.localPort);
    }
    reply.writeUint32(0);
  },
  fail() {},
};

export const portmapProgram: Program = {
  number: 100000,
  version: 2,
  procedures: [nullProcedure, refuse, refuse, getPort, dump],
};

function served(): readonly Program[] {
  return [portmapProgram, mountProgram, nfsProgram, lockProgram, monitorProgram];
}
