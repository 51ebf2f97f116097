/**
 * A deployment as a client writes it down: what is to run, on which XenoServers, and what differs on each. `xeno deploy FILE.json`
 * takes one; the words of `xeno deploy URL --on …` make one.
 */
import { readFile } from "node:fs/promises";
import { type Static, Type } from "typebox";
import { Errors } from "typebox/value";
import { XenoError } from "../../cowfs/errors.ts";
import { type Deployment, deploymentProperties } from "../../xenod/daemon/deployment.ts";
import { defaultKernel } from "./default-kernel.ts";

const Overrides = Type.Partial(Type.Object(deploymentProperties), {
  additionalProperties: false,
  description:
    "What differs on this XenoServer. Environments are merged, and files by their paths; anything else replaces what is said for all.",
});

const { overlay, ...others } = deploymentProperties;

export const DeploymentDocument = Type.Object(
  {
    $schema: Type.Optional(Type.String()),
    id: Type.Optional(
      Type.String({
        pattern: "^[A-Za-z0-9_-]{8,64}$",
        description: "Sent twice, it is done once. Default: a new one each time.",
      }),
    ),
    overlay,
    ...Type.Partial(Type.Object(others)).properties,
    servers: Type.Optional(
      Type.Record(Type.String({ pattern: "^[a-z0-9-]{1,40}$" }), Overrides, {
        additionalProperties: false,
        maxProperties: 1000,
        description: "The XenoServers to deploy on, by name, with what differs on each.",
      }),
    ),
  },
  { additionalProperties: false, title: "A deployment on XenoServers" },
);
export type DeploymentDocument = Static<typeof DeploymentDocument>;

const defaults = { kernel: defaultKernel, memoryMiB: 512, cpus: 1 };
const maxDocumentBytes = 4 * 1024 * 1024;

/** Throws `document-invalid`: which file, where in it, and why. */
export async function readDocument(file: string): Promise<DeploymentDocument> {
  const text = await readFile(file, "utf8");
  if (text.length > maxDocumentBytes) throw invalid(file, `it is longer than ${maxDocumentBytes} bytes`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw invalid(file, (cause as Error).message);
  }
  return checkDocument(value, file);
}

/** `source` is for the message. Throws `document-invalid`. */
export function checkDocument(value: unknown, source: string): DeploymentDocument {
  const [error] = Errors(DeploymentDocument, value);
  if (error === undefined) return value as DeploymentDocument;
  const { instancePath: where, keyword, message, params } = error;
  const reason =
    keyword === "boolean"
      ? `${where} is no known property`
      : keyword === "enum"
        ? `${where} must be one of ${(params as { allowedValues: string[] }).allowedValues.join(", ")}`
        : `${where || "it"} ${message}`;
  throw invalid(source, reason);
}

/** What one XenoServer is asked for. */
export function deploymentFor(document: DeploymentDocument, server: string, id: string): Deployment {
  const { $schema: _, servers, ...common } = document;
  const own = servers?.[server] ?? {};
  const files = new Map([...(common.files ?? []), ...(own.files ?? [])].map((file) => [file.path, file]));
  const environment = { ...common.environment, ...own.environment };
  return {
    ...defaults,
    ...common,
    ...own,
    id,
    ...(files.size > 0 ? { files: [...files.values()] } : {}),
    ...(Object.keys(environment).length > 0 ? { environment } : {}),
  };
}

function invalid(source: string, reason: string): XenoError {
  return new XenoError("document-invalid", `${source} is no deployment: ${reason}`, {
    hint: "xeno deploy --schema prints what may stand in one.",
  });
}
