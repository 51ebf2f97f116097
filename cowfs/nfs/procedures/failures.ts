/** The results of failed procedures (RFC 1813 section 3.3): which attributes go along with the status. */
import { writePostAttributesOf, writeUnchangedData } from "../attributes.ts";
import type { XdrWriter } from "../xdr.ts";
import type { Request, Service } from "./procedure.ts";

export function failPlainly(_service: Service, _request: Request, status: number, reply: XdrWriter): void {
  reply.writeUint32(status);
}

export function failWithAttributes(service: Service, request: Request, status: number, reply: XdrWriter): void {
  reply.writeUint32(status);
  writePostAttributesOf(service, reply, request.first);
}

export function failWithChangeData(service: Service, request: Request, status: number, reply: XdrWriter): void {
  reply.writeUint32(status);
  writeUnchangedData(service, reply, request.first);
}

export function failWithTwoChangeData(service: Service, request: Request, status: number, reply: XdrWriter): void {
  reply.writeUint32(status);
  writeUnchangedData(service, reply, request.first);
  writeUnchangedData(service, reply, request.second);
}

export function failWithAttributesAndChangeData(
  service: Service,
  request: Request,
  status: number,
  reply: XdrWriter,
): void {
  reply.writeUint32(status);
  writePostAttributesOf(service, reply, request.first);
  writeUnchangedData(service, reply, request.second);
}
