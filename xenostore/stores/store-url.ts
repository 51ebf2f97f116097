/**
 * How a store is named, in `--store`, `$XENO_STORE` and configuration:
 *
 *     /srv/store, ./store, file:///srv/store            a directory
 *     https://cdn.example/store/                        read-only, over HTTP
 *     s3://bucket/prefix?endpoint=https://s3.example    any S3-compatible service; also region=, profile=
 *
 * A store's name shows in process lists and logs: it never holds a credential.
 */
import path from "node:path";
import { fileURLToPath } from "node:url";
import { XenoError } from "../../cowfs/errors.ts";

export type StoreLocation =
  | { readonly kind: "directory"; readonly directory: string }
  | { readonly kind: "http"; readonly url: URL }
  | ({ readonly kind: "s3" } & S3Location);

export interface S3Location {
  readonly bucket: string;
  /** Before every key, without slashes at its ends; empty for the whole bucket. */
  readonly prefix: string;
  /** `https://s3.example:8080`; undefined for Amazon's own. */
  readonly endpoint: string | undefined;
  readonly region: string;
  /** In the shared credentials file (`~/.aws/credentials`, or `$AWS_SHARED_CREDENTIALS_FILE`). */
  readonly profile: string | undefined;
}

/** Throws `store-url`. Nothing is asked or opened. */
export function parseStoreUrl(text: string): StoreLocation {
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)?.[1].toLowerCase();
  if (scheme === undefined) return { kind: "directory", directory: path.resolve(text) };
  const url = URL.parse(text);
  if (url === null) throw refuse(text, "is no URL");
  if (url.username !== "" || url.password !== "")
    throw refuse(url.host, "has credentials in it", "They would show in process lists: see `xeno store --help`.");
  if (url.hash !== "") throw refuse(text, "has a fragment");
  if (scheme === "s3") return { kind: "s3", ...parseS3(url, text) };
  if (url.search !== "") throw refuse(text, "has a query");
  if (scheme === "http" || scheme === "https") return { kind: "http", url };
  if (scheme === "file" && url.host === "") return { kind: "directory", directory: fileURLToPath(url) };
  throw refuse(text, "has a scheme that no store has");
}

/** What `parseStoreUrl` takes for the same place, wherever it is said: directories become absolute. */
export function normalizeStoreUrl(text: string): string {
  const location = parseStoreUrl(text);
  return location.kind === "directory" ? location.directory : text;
}

function parseS3(url: URL, text: string): S3Location {
  const known = ["endpoint", "region", "profile"];
  for (const name of url.searchParams.keys())
    if (!known.includes(name)) throw refuse(text, `has an unknown ${name}=`, `After ? come ${known.join("=, ")}=.`);
  const bucket = url.host;
  if (!/^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$/.test(bucket)) throw refuse(text, "names no possible bucket");
  const prefix = url.pathname.replace(/^\/+|\/+$/g, "");
  if (prefix !== "" && !/^[A-Za-z0-9._~+@-]+(\/[A-Za-z0-9._~+@-]+)*$/.test(prefix))
    throw refuse(text, "has a prefix of other signs than letters, digits and . _ ~ + @ - /");
  const endpoint = url.searchParams.get("endpoint") ?? undefined;
  const parsed = endpoint === undefined ? undefined : URL.parse(endpoint);
  const isFine = parsed != null && /^https?:$/.test(parsed.protocol) && parsed.search === "" && parsed.pathname === "/";
  if (endpoint !== undefined && (!isFine || parsed.username !== "" || parsed.password !== ""))
    throw refuse(bucket, "has an endpoint= that is not like https://s3.example:8080");
  return {
    bucket,
    prefix,
    endpoint: parsed?.origin,
    region: url.searchParams.get("region") ?? "us-east-1",
    profile: url.searchParams.get("profile") ?? undefined,
  };
}

function refuse(text: string, reason: string, hint?: string): XenoError {
  return new XenoError("store-url", `the store ${JSON.stringify(text.slice(0, 200))} ${reason}`, {
    hint: hint ?? "A store is a directory, https://HOST/PATH, or s3://BUCKET/PREFIX?endpoint=https://HOST",
  });
}
