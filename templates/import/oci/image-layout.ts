/**
 * Finds an image in an OCI image layout, a directory as `skopeo copy … oci:DIRECTORY` and `umoci` write it (OCI image
 * specification 1.1, image-layout.md, image-index.md, manifest.md).
 *
 * The layout may come from anywhere: every blob that is read is compared with the digest that names it, and digests are
 * the only names that reach the disk.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import fs from "node:fs/promises";
import path from "node:path";
import { type Static, type TSchema, Type } from "typebox";
import { Check } from "typebox/value";
import { XenoError } from "../../../cowfs/errors.ts";

const Descriptor = Type.Object({
  mediaType: Type.String(),
  digest: Type.String({ pattern: "^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$" }),
  size: Type.Integer({ minimum: 0 }),
  platform: Type.Optional(Type.Object({ architecture: Type.String(), os: Type.String() })),
  annotations: Type.Optional(Type.Record(Type.String(), Type.String())),
});
export type Descriptor = Static<typeof Descriptor>;
const Index = Type.Object({ manifests: Type.Array(Descriptor, { maxItems: 10_000 }) });
const Manifest = Type.Object({ layers: Type.Array(Descriptor, { maxItems: 1_000 }) });

const nameAnnotation = "org.opencontainers.image.ref.name";
const indexTypes = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
];
const manifestTypes = [
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.v2+json",
];
const layerType =
  /^application\/vnd\.(oci\.image\.layer\.(v1|nondistributable\.v1)\.tar(\+gzip|\+zstd)?|docker\.image\.rootfs\.diff\.tar(\.gzip)?)$/;
const platform = { os: "linux", architecture: "amd64" };
const maxJsonBytes = 4 * 2 ** 20;
const maxDepth = 4;

/** The layers of an image, the lowest first. Throws `image-refused`. */
export async function readImageLayers(directory: string, name: string | undefined): Promise<Descriptor[]> {
  const layout = await readJson(directory, "oci-layout", Type.Object({ imageLayoutVersion: Type.String() }));
  if (!layout.imageLayoutVersion.startsWith("1."))
    throw refuse(directory, `its layout has version ${layout.imageLayoutVersion}`);
  const { manifests } = await readJson(directory, "index.json", Index);
  const manifest = await chooseManifest(directory, pickByName(directory, manifests, name), 0);
  const { layers } = await readBlob(directory, manifest, Manifest);
  for (const { mediaType } of layers)
    if (!layerType.test(mediaType)) throw refuse(directory, `a layer is ${mediaType}, which is no file system`);
  return layers;
}

/** A blob's bytes, which must be those that its digest names: an error comes after the last of them otherwise. */
export async function* streamBlob(directory: string, { digest, size }: Descriptor): AsyncGenerator<Buffer> {
  const [algorithm, hex] = digest.split(":");
  const hash = createHash(algorithm);
  let read = 0;
  try {
    for await (const part of createReadStream(path.join(directory, "blobs", algorithm, hex))) {
      read += part.length;
      if (read > size) break;
      hash.update(part);
      yield part;
    }
  } catch (cause) {
    throw refuse(directory, `its blob ${digest} cannot be read: ${(cause as Error).message}`, cause);
  }
  if (read !== size || hash.digest("hex") !== hex) throw refuse(directory, `its blob ${digest} is damaged`);
}

function pickByName(directory: string, manifests: readonly Descriptor[], name: string | undefined): Descriptor[] {
  const named = manifests.filter(({ annotations }) => name === undefined || annotations?.[nameAnnotation] === name);
  if (named.length > 0) return named;
  const names = manifests
    .map(({ annotations }) => annotations?.[nameAnnotation])
    .filter((known) => known !== undefined);
  throw refuse(directory, name === undefined ? "it holds no image" : `it holds no image ${name}`, undefined, names);
}

async function chooseManifest(directory: string, found: readonly Descriptor[], depth: number): Promise<Descriptor> {
  if (depth > maxDepth) throw refuse(directory, "its indexes name each other without end");
  // An image for no platform in particular is one for all; attestations are for the platform `unknown`.
  const fitting = found.filter(
    ({ platform: wanted }) =>
      wanted === undefined || (wanted.os === platform.os && wanted.architecture === platform.architecture),
  );
  if (fitting.length === 0) throw refuse(directory, `it holds no image for ${platform.os}/${platform.architecture}`);
  if (fitting.length > 1) {
    const names = fitting.map(({ annotations }) => annotations?.[nameAnnotation] ?? "one without a name");
    throw refuse(directory, "it holds several images", undefined, names);
  }
  const [chosen] = fitting;
  if (manifestTypes.includes(chosen.mediaType)) return chosen;
  if (!indexTypes.includes(chosen.mediaType)) throw refuse(directory, `${chosen.mediaType} is no image`);
  const { manifests } = await readBlob(directory, chosen, Index);
  return await chooseManifest(directory, manifests, depth + 1);
}

async function readBlob<T extends TSchema>(directory: string, blob: Descriptor, schema: T): Promise<Static<T>> {
  if (blob.size > maxJsonBytes) throw refuse(directory, `its blob ${blob.digest} is too large`);
  const parts: Buffer[] = [];
  for await (const part of streamBlob(directory, blob)) parts.push(part);
  return parse(directory, blob.digest, Buffer.concat(parts).toString(), schema);
}

async function readJson<T extends TSchema>(directory: string, name: string, schema: T): Promise<Static<T>> {
  const file = path.join(directory, name);
  const size = (await fs.stat(file).catch(() => undefined))?.size;
  if (size === undefined) throw refuse(directory, `it has no ${name}`);
  if (size > maxJsonBytes) throw refuse(directory, `its ${name} is too large`);
  return parse(directory, name, await fs.readFile(file, "utf8"), schema);
}

function parse<T extends TSchema>(directory: string, what: string, text: string, schema: T): Static<T> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {}
  if (Check(schema, value)) return value as Static<T>;
  throw refuse(directory, `its ${what} is not what it should be`);
}

function refuse(directory: string, reason: string, cause?: unknown, names: readonly string[] = []): XenoError {
  const hint =
    names.length > 0
      ? `name one of them with --image: ${names.join(", ")}`
      : "an image layout is a directory such as `skopeo copy docker://IMAGE oci:DIRECTORY:NAME` writes";
  return new XenoError("image-refused", `${directory} cannot be imported: ${reason}`, { hint, cause });
}
