/**
 * What a client asks a XenoServer to run: one document, the same whether it comes from `xeno deploy`, from a file or from a
 * program. `xeno deploy --schema` prints it as JSON Schema, and the API's OpenAPI document holds it.
 *
 * It comes from outside: the schema is all that bounds its sizes, names and characters.
 */
import { type Static, Type } from "typebox";
import { XenoError } from "../../cowfs/errors.ts";

/** Of one XenoServer. */
export const maxDomains = 1000;
/** What takes room is admitted one after the other; no domain has this name. */
export const admissionQueue = "/admission";
export const domainNamePattern = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$";
export const layerUrl = { minLength: 1, maxLength: 1024 };
/** A whole processor for one second. */
const maxMsPerSecond = 64_000;

/** CPU time as the deployment paper's CPUmtps: milliseconds per second of time, over all virtual CPUs. */
export const CpuShare = Type.Object(
  {
    meanMsPerSecond: Type.Integer({
      minimum: 1,
      maximum: maxMsPerSecond,
      description: "What the guest gets when it wants it, whatever else runs; admitted only where there is room.",
    }),
    peakMsPerSecond: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: maxMsPerSecond,
        description: "The most that it gets when others leave processors idle. Default: all of its virtual CPUs.",
      }),
    ),
  },
  { additionalProperties: false },
);

export const NetworkShare = Type.Object(
  {
    peakKbitPerSecond: Type.Integer({
      minimum: 64,
      maximum: 100_000_000,
      description: "The most that it sends, and the most that it receives, beside its root file system.",
    }),
  },
  { additionalProperties: false },
);

/** A file of the guest's root that is laid over what the overlay has, before the guest first runs. */
export const LaidFile = Type.Object(
  {
    path: Type.String({ pattern: "^(/[^/\\x00]{1,255})+$", maxLength: 4095 }),
    content: Type.Optional(Type.String({ maxLength: 262_144, description: "As text, in UTF-8." })),
    base64: Type.Optional(
      Type.String({ pattern: "^[A-Za-z0-9+/]*={0,2}$", maxLength: 349_528, description: "Or as base64." }),
    ),
    mode: Type.Optional(Type.String({ pattern: "^[0-7]{3,4}$", description: "Octal. Default 0644." })),
    uid: Type.Optional(Type.Integer({ minimum: 0, maximum: 4_294_967_294 })),
    gid: Type.Optional(Type.Integer({ minimum: 0, maximum: 4_294_967_294 })),
  },
  { additionalProperties: false },
);
export type LaidFile = Static<typeof LaidFile>;

export const PublishedPort = Type.Object(
  {
    published: Type.Integer({ minimum: 1, maximum: 65_535, description: "On the XenoServer's own addresses." }),
    guest: Type.Integer({ minimum: 1, maximum: 65_535 }),
    protocol: Type.Optional(Type.Enum(["tcp", "udp"], { description: "Default tcp." })),
  },
  { additionalProperties: false },
);
export type PublishedPort = Static<typeof PublishedPort>;

export const RestartPolicy = Type.Enum(["never", "host-boot", "crash", "always"], {
  description:
    "When the domain is started again, from its journal: never (the default); after its host booted; also when its guest " +
    "crashed; always, also when its guest powered off.",
});
export type RestartPolicy = Static<typeof RestartPolicy>;

/** All of a deployment but its id, as properties: control/deploy/document.ts makes its own schema of them. */
export const deploymentProperties = {
  name: Type.Optional(
    Type.String({ pattern: domainNamePattern, description: "Default: the overlay's, made unique on the XenoServer." }),
  ),
  overlay: Type.String({ ...layerUrl, description: "xenostore://OWNER/NAME[@VERSION] or template://NAME/VERSION" }),
  signedSince: Type.Optional(
    Type.String({
      pattern: "^\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}(\\.\\d{1,3})?Z$",
      description:
        "UTC: refuse the overlay where what its name means was signed before. A XenoServer that has seen a newer one refuses an older anyway.",
    }),
  ),
  kernel: Type.String({
    ...layerUrl,
    description:
      "The URL of a kernel template; or overlay:/DIRECTORY, a directory of the overlay that holds what a kernel template " +
      "holds: config.json, a kernel and an initramfs.",
  }),
  kernelCommandLine: Type.Optional(
    Type.String({ pattern: "^[ -~]*$", maxLength: 1024, description: "Words that follow the XenoServer's own." }),
  ),
  init: Type.Optional(
    Type.String({ pattern: "^/[!-~]{1,200}$", description: "The root's first program. Default /sbin/init." }),
  ),
  memoryMiB: Type.Integer({ minimum: 64, maximum: 1_048_576 }),
  cpus: Type.Integer({ minimum: 1, maximum: 64, description: "Virtual CPUs." }),
  cpu: Type.Optional(CpuShare),
  network: Type.Optional(NetworkShare),
  journalMiB: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 1_073_741_824, description: "What the guest's own writes may take on disk." }),
  ),
  unsafeAsync: Type.Optional(
    Type.Boolean({
      description:
        "Names, modes, owners and times that the guest changes are answered before they are on the disk. They follow within a second or " +
        "so, and with each fsync of what was written. A host that loses power may lose the last of them, which a guest that synced a directory " +
        "does not expect. Default: nothing is lost that was answered.",
    }),
  ),
  hostname: Type.Optional(
    Type.String({
      pattern: "^[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?$",
      description: "Default: the domain's name.",
    }),
  ),
  environment: Type.Optional(
    Type.Record(Type.String({ pattern: "^[A-Za-z_][A-Za-z0-9_]{0,127}$" }), Type.String({ maxLength: 8192 }), {
      maxProperties: 256,
      additionalProperties: false,
      description:
        "For every service of a systemd guest, and in /etc/xeno/environment for others. No control characters.",
    }),
  ),
  files: Type.Optional(Type.Array(LaidFile, { maxItems: 256 })),
  programs: Type.Optional(
    Type.Boolean({
      description:
        "Have programs run inside of it later: an agent for that is laid over its root, which systemd starts; another init " +
        "must start /var/lib/xeno/programs/agent itself. Default: none.",
    }),
  ),
  ports: Type.Optional(Type.Array(PublishedPort, { maxItems: 64 })),
  restart: Type.Optional(RestartPolicy),
  follow: Type.Optional(
    Type.Boolean({
      description:
        "At each reboot, take what the overlay's and its template's names mean then; what the guest wrote lies over that. " +
        "Default: the trees of the deployment, for ever.",
    }),
  ),
};

export const Deployment = Type.Object(
  {
    id: Type.String({
      pattern: "^[A-Za-z0-9_-]{8,64}$",
      description: "Chosen by the client: sent twice, it is done once.",
    }),
    ...deploymentProperties,
  },
  { additionalProperties: false },
);
export type Deployment = Static<typeof Deployment>;

const { memoryMiB, cpu, network, journalMiB } = deploymentProperties;

/** What of a deployment can be changed later. What is not there is not limited. */
export const DeployedSize = Type.Object({ memoryMiB, cpu, network, journalMiB }, { additionalProperties: false });
export type DeployedSize = Static<typeof DeployedSize>;

export function sizeOf(deployment: DeployedSize): DeployedSize {
  const size = Object.keys(DeployedSize.properties).map((key) => [key, deployment[key as keyof DeployedSize]]);
  return Object.fromEntries(size.filter(([, value]) => value !== undefined));
}

export function withSize(deployment: Deployment, size: DeployedSize): Deployment {
  const { memoryMiB: _memory, cpu: _cpu, network: _network, journalMiB: _journal, ...rest } = deployment;
  return { ...rest, ...sizeOf(size) };
}

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

/** Where a deployment's kernel is: the layer's URL, and the directory in it. */
export function locateKernel({ overlay, kernel }: Pick<Deployment, "overlay" | "kernel">): {
  url: string;
  folder: string;
} {
  const inOverlay = /^overlay:(\/.*)$/.exec(kernel);
  return inOverlay === null ? { url: kernel, folder: "" } : { url: overlay, folder: inOverlay[1] };
}
