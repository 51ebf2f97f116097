/**
 * Refs: who says that a name and a version mean a tree. A compact JWS (RFC 7515, Ed25519) over the claims below.
 *
 * A ref lies at `refs/<owner>/<name>/<version>`; `refs/<owner>/<name>/current` holds a copy of the newest one. The
 * claims repeat owner, name and version, so that a store cannot pass one ref for another.
 */
import { CompactSign, compactVerify, decodeProtectedHeader } from "jose";
import { Type } from "typebox";
import { Check } from "typebox/value";
import { XenoError } from "../../cowfs/errors.ts";
import { checkOwner, type SigningKey, type Trust } from "../keys/key-ring.ts";

export const refFormat = 1;
export const maxRefBytes = 64 * 1024;
export const maxBases = 32;
/** With these a ref has 56 kB at most, and readers take 64 KiB. */
export const maxKept = 200;

/** A tree and the pack map to read it by. */
export interface StoredTree {
  readonly tree: string;
  readonly layout: string;
}

export interface Ref extends StoredTree {
  readonly owner: string;
  /** One to eight components, joined by `/`. */
  readonly name: string;
  readonly version: string;
  /** What the tree lies over, strongest first; empty for a template. */
  readonly base: readonly StoredTree[];
  /** Trees that it needs and does not lie over: what the domain of a checkpoint boots from. They are kept with it. */
  readonly keeps?: readonly StoredTree[];
  /** Milliseconds since the epoch; of two refs of one name the later one counts. */
  readonly created: number;
  /** Milliseconds since the epoch: not to be believed from then on. */
  readonly expires?: number;
}

const Hash = Type.String({ pattern: "^[0-9a-f]{64}$" });
const Stored = Type.Object({ tree: Hash, layout: Hash });
const Claims = Type.Object({
  format: Type.Literal(refFormat),
  owner: Type.String(),
  name: Type.String(),
  version: Type.String(),
  tree: Hash,
  layout: Hash,
  base: Type.Array(Stored, { maxItems: maxBases }),
  keeps: Type.Optional(Type.Array(Stored, { maxItems: maxKept })),
  created: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
  expires: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })),
});

/** The version that stands for the newest one. */
export const currentVersion = "current";

/** What lies in the place of a `current` that was taken away: it is no ref, and whoever publishes next moves on from it. */
export const removedRef = Buffer.from("removed\n");

/** The object key of a ref. Throws `store-key` for names that cannot be. */
export function refKey(owner: string, name: string, version: string): string {
  checkOwner(owner);
  const components = [...name.split("/"), version];
  const isFine = (component: string) => /^[A-Za-z0-9][A-Za-z0-9._+~-]{0,99}$/.test(component);
  if (components.length > 9 || !components.every(isFine))
    throw new XenoError("store-key", `${JSON.stringify(`${name}@${version}`)} is not a possible name and version`, {
      hint: "Names and versions are letters, digits and . _ + ~ - with up to 8 components joined by /",
    });
  return `refs/${owner}/${name}/${version}`;
}

/**
 * Where a copy of a ref lies under its tree's id, for those who know the id: `ids/<owner>/<tree>`. Of several refs to one
 * tree it is the one that was written last.
 */
export function idKey(owner: string, tree: string): string {
  checkOwner(owner);
  if (!/^[0-9a-f]{64}$/.test(tree)) throw new XenoError("store-key", `${JSON.stringify(tree)} is no id of a tree`);
  return `ids/${owner}/${tree}`;
}

export async function signRef(ref: Ref, key: SigningKey): Promise<Buffer> {
  const payload = Buffer.from(JSON.stringify({ format: refFormat, ...ref }));
  const jws = await new CompactSign(payload)
    .setProtectedHeader({ alg: "EdDSA", kid: key.id, typ: "xeno-ref" })
    .sign(key.privateKey);
  return Buffer.from(jws, "latin1");
}

/**
 * The claims of a ref, if a key that `trust` has for `owner` signed them for exactly this name. `version` may be
 * `current`. Throws `ref-damaged`, `ref-untrusted`, `ref-expired` or `ref-too-new`.
 */
export async function verifyRef(
  bytes: Buffer,
  expected: { owner: string; name: string; version: string },
  trust: Trust,
  now: number,
): Promise<Ref> {
  const label = `${expected.owner}/${expected.name}@${expected.version}`;
  const damaged = (reason: string, cause?: unknown) =>
    new XenoError("ref-damaged", `the ref ${label} is damaged: ${reason}`, {
      cause,
      hint: "The store or somebody on the way changed it: publish it again, or use another store.",
    });
  const jws = bytes.toString("latin1");
  let header: ReturnType<typeof decodeProtectedHeader>;
  try {
    header = decodeProtectedHeader(jws);
  } catch (error) {
    throw damaged("it is no signed ref", error);
  }
  if (header.typ !== "xeno-ref" || typeof header.kid !== "string") throw damaged("it is no signed ref");
  const key = await trust.find(expected.owner, header.kid);
  if (!key)
    throw new XenoError("ref-untrusted", `${label} is signed with a key that is not trusted for ${expected.owner}`, {
      hint: `If the key is the owner's: xeno key trust ${expected.owner} ed25519:… (key id ${JSON.stringify(header.kid.slice(0, 64))}; trusted keys are in ${trust.description})`,
    });
  const claims = await compactVerify(jws, key, { algorithms: ["EdDSA"] })
    .then(({ payload }) => JSON.parse(Buffer.from(payload).toString()))
    .catch((error) => {
      throw damaged("its signature does not fit", error);
    });
  if (typeof claims?.format === "number" && claims.format > refFormat)
    throw new XenoError("ref-too-new", `${label} has format ${claims.format}; this reader knows ${refFormat}`, {
      hint: "Upgrade this machine's XenoServer software.",
    });
  if (!Check(Claims, claims)) throw damaged("its claims are not those of a ref");
  const isMeant =
    claims.owner === expected.owner &&
    claims.name === expected.name &&
    (expected.version === currentVersion || claims.version === expected.version);
  if (!isMeant) throw damaged(`it was signed for ${claims.owner}/${claims.name}@${claims.version}`);
  if (claims.expires !== undefined && claims.expires <= now)
    throw new XenoError("ref-expired", `${label} expired on ${new Date(claims.expires).toISOString()}`, {
      hint: "Its owner must publish it again.",
    });
  const { format: _, ...ref } = claims;
  return ref;
}
