/**
 * A XenoServer's configuration: one JSON file, which the operator writes and `xeno server run --config` reads. Options of the command
 * line come before it. `xeno server run --schema` prints what may stand in one.
 */
import { readFile } from "node:fs/promises";
import path from "node:path";
import { type Static, Type } from "typebox";
import { Errors } from "typebox/value";
import { XenoError } from "../../cowfs/errors.ts";

const size = { pattern: "^\\d{1,12}(\\.\\d{1,3})?[kMGT]?B?$" };
const network = { pattern: "^\\d{1,3}(\\.\\d{1,3}){3}/\\d{1,2}$" };

export const GuestNetwork = Type.Object(
  {
    addresses: Type.String({ ...network, description: "The guests' addresses, as 203.0.113.0/28." }),
    device: Type.String({
      pattern: "^[A-Za-z0-9][A-Za-z0-9._-]{0,14}$",
      description: "The host's device to the world, as eth0. It will forward.",
    }),
    egress: Type.Optional(
      Type.Enum(["none", "routed", "masquerade"], {
        description:
          "What guests may begin: nothing (the default); all, under their own addresses, which the network routes to this host; " +
          "all, under the host's address. Never to the host itself, nor to link-local or private addresses.",
      }),
    ),
    allow: Type.Optional(
      Type.Array(Type.String(network), {
        maxItems: 64,
        description: "Private networks that guests with egress may reach all the same.",
      }),
    ),
    ports: Type.Optional(
      Type.String({
        pattern: "^\\d{1,5}-\\d{1,5}$",
        description: "The ports of the host's addresses that deployments may publish, as 20000-29999. Default: none.",
      }),
    ),
    dns: Type.Optional(
      Type.Array(Type.String({ pattern: "^[0-9A-Fa-f.:]{2,45}$" }), {
        maxItems: 3,
        description: "Name servers: laid as /etc/resolv.conf into each new guest.",
      }),
    ),
  },
  { additionalProperties: false },
);
export type GuestNetwork = Static<typeof GuestNetwork>;

export const ServerConfiguration = Type.Object(
  {
    $schema: Type.Optional(Type.String()),
    name: Type.String({ pattern: "^[a-z0-9-]{1,40}$", description: "How clients name it." }),
    state: Type.Optional(Type.String({ description: "Its state's directory. Default: servers/NAME in $XENO_HOME." })),
    store: Type.Optional(
      Type.String({ description: "The XenoStore: a directory or a URL. Default: store in $XENO_HOME." }),
    ),
    trust: Type.Optional(
      Type.String({ description: "The directory of the keys it believes. Default: keys in $XENO_HOME." }),
    ),
    listen: Type.Optional(
      Type.String({
        description: "HOST:PORT where the API answers too, to callers trusted as `operators`. Default: nowhere.",
      }),
    ),
    cacheSize: Type.Optional(Type.String({ ...size, description: "What its cache may take of the disk, as 20G." })),
    fillRate: Type.Optional(
      Type.String({
        ...size,
        description: "After a guest's boot, bring what it has not read at this rate a second, as 5M.",
      }),
    ),
    workers: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 64,
        description:
          "How many processes serve the guests' roots, as they are needed. Default: one for each core, up to 8.",
      }),
    ),
    xenGuests: Type.Optional(
      Type.Enum(["pvh", "pv"], { description: "Of what type guests are made on a Xen host. Default: pvh." }),
    ),
    ioErrorsAfter: Type.Optional(
      Type.Integer({
        minimum: 1,
        description:
          "For so many seconds a guest waits for data that the store does not give; then it is an I/O error. Default: for ever.",
      }),
    ),
    allowLayers: Type.Optional(
      Type.Array(Type.String(), { maxItems: 64, description: "What .mount files may reach, as ro file:///srv/www." }),
    ),
    afsRoot: Type.Optional(Type.String({ description: "Where afs:// is mounted here. Default: /afs." })),
    guests: Type.Optional(GuestNetwork),
  },
  { additionalProperties: false, title: "A XenoServer's configuration" },
);
export type ServerConfiguration = Static<typeof ServerConfiguration>;

/** Relative paths in it are from its own directory. Throws `configuration-invalid`: where in it, and why. */
export async function readConfiguration(file: string): Promise<ServerConfiguration> {
  let value: unknown;
  const text = await readFile(file, "utf8");
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw invalid(file, (cause as Error).message);
  }
  const [error] = Errors(ServerConfiguration, value);
  if (error !== undefined) {
    const where = error.instancePath || "it";
    throw invalid(file, error.keyword === "boolean" ? `${where} is no known property` : `${where} ${error.message}`);
  }
  const configuration = value as ServerConfiguration;
  const from = (given: string | undefined) => given && path.resolve(path.dirname(file), given);
  const { store } = configuration;
  return {
    ...configuration,
    ...(configuration.state && { state: from(configuration.state) }),
    ...(configuration.trust && { trust: from(configuration.trust) }),
    ...(store && !store.includes("://") && { store: from(store) }),
  };
}

export function parsePortRange(text: string): { first: number; last: number } {
  const [first, last] = text.split("-").map(Number);
  if (first >= 1 && first <= last && last <= 65_535) return { first, last };
  throw new XenoError("configuration-invalid", `"${text}" is no range of ports`, { hint: "as 20000-29999" });
}

function invalid(file: string, reason: string): XenoError {
  return new XenoError("configuration-invalid", `${file} is no configuration of a XenoServer: ${reason}`, {
    hint: "xeno server run --schema prints what may stand in one.",
  });
}
