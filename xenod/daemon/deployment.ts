/** What a client asks a XenoServer to run. */
import { type Static, Type } from "typebox";
import { XenoError } from "../../cowfs/errors.ts";

export const domainNamePattern = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$";

export const Deployment = Type.Object(
  {
    /** Chosen by the client: sent twice, it is done once. */
    id: Type.String({ pattern: "^[A-Za-z0-9_-]{8,64}$" }),
    /** Default: the overlay's, made unique on this XenoServer. */
    name: Type.Optional(Type.String({ pattern: domainNamePattern })),
    overlay: Type.String({ minLength: 1, maxLength: 1024 }),
    kernel: Type.String({ minLength: 1, maxLength: 1024 }),
    memoryMiB: Type.Integer({ minimum: 64, maximum: 1_048_576 }),
    cpus: Type.Integer({ minimum: 1, maximum: 64 }),
    /** Default: the domain's name. */
    hostname: Type.Optional(Type.String({ pattern: "^[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?$" })),
    /** The root's first program. Default /sbin/init. */
    init: Type.Optional(Type.String({ pattern: "^/[!-~]{1,200}$" })),
    /** Words that follow ours on the kernel's command line. */
    kernelCommandLine: Type.Optional(Type.String({ pattern: "^[ -~]*$", maxLength: 1024 })),
  },
  { additionalProperties: false },
);
export type Deployment = Static<typeof Deployment>;

/** A name that is not taken: the given one, or one after the overlay. Throws `domain-exists`. */
export function chooseName({ name, overlay }: Deployment, isTaken: (name: string) => boolean): string {
  if (name !== undefined) {
    if (!isTaken(name)) return name;
    throw new XenoError("domain-exists", `there is a domain ${name} already`, {
      hint: "choose another name, or remove that one: xeno stop --remove NAME",
    });
  }
  const path = overlay.replace(/^[a-z]+:\/\//, "").replace(/@[^@/]*$/, "");
  const stem =
    path
      .split("/")
      .at(-1)!
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, "-")
      .replace(/^-|-$/g, "")
      .slice(0, 30)
      .replace(/-$/, "") || "domain";
  for (let n = 1; ; n++) {
    const candidate = n === 1 ? stem : `${stem}-${n}`;
    if (!isTaken(candidate)) return candidate;
  }
}
