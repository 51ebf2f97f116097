/** What a client asks of a session, whichever way it was written. In JSON it is this object; in XML see read-xml.ts. */
import { type Static, Type } from "typebox";
import { Check, Errors } from "typebox/value";
import { XenoError } from "../../../cowfs/errors.ts";

const name = Type.String({ minLength: 1, maxLength: 100 });
const amount = Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000_000_000 }));
const closed = { additionalProperties: false };

export const Requirements = Type.Object(
  {
    Basic: Type.Object({ EnvName: name, EnvType: name, EnvKernel: Type.Optional(name) }, closed),
    Network: Type.Optional(
      Type.Object({ EnvIPAddresses: Type.Optional(Type.Integer({ minimum: 0, maximum: 1 })) }, closed),
    ),
    QoS: Type.Optional(
      Type.Object(
        { CPUmtps: amount, CPUmtpsPeak: amount, NetMbps: amount, MemoryMiB: amount, DiskMiB: amount },
        closed,
      ),
    ),
  },
  closed,
);
export type Requirements = Static<typeof Requirements>;

/** Throws `requirements-invalid`, with the place and the reason. */
export function checkRequirements(value: unknown): Requirements {
  if (!Check(Requirements, value)) {
    const [first] = Errors(Requirements, value);
    throw invalid(`${first?.instancePath || "the document"} ${first?.message ?? "is not of that form"}`);
  }
  const { CPUmtps, CPUmtpsPeak } = value.QoS ?? {};
  if (CPUmtpsPeak !== undefined && CPUmtpsPeak < (CPUmtps ?? 0)) throw invalid("CPUmtpsPeak is less than CPUmtps");
  return value;
}

export function invalid(reason: string, cause?: unknown): XenoError {
  return new XenoError("requirements-invalid", `these are no requirements of a session: ${reason}`, {
    hint: "control/sessions/requirements/environmental-requirements.xsd has their form",
    cause,
  });
}
