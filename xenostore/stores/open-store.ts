/** From a store's name to the store: the one place that knows all kinds. */
import { openDirectoryStore } from "./directory-store.ts";
import type { ObjectStore } from "./object-store.ts";
import { defaultPolicy, type RemotePolicy } from "./remote/policy.ts";
import { parseStoreUrl } from "./store-url.ts";

export interface OpenStoreOptions {
  /** Makes a directory that is missing; default true. Buckets and web servers are never made. */
  readonly create?: boolean;
  /** How patient to be with a store that is not on this machine. */
  readonly policy?: RemotePolicy;
}

/**
 * Throws `store-url`, or `store-unavailable` for a directory; other stores are first asked when they are used. Their
 * clients are loaded only where they are needed: the S3 client takes 0.3 s.
 */
export async function openStore(url: string, options: OpenStoreOptions = {}): Promise<ObjectStore> {
  const location = parseStoreUrl(url);
  const policy = options.policy ?? defaultPolicy;
  if (location.kind === "directory") return await openDirectoryStore(location.directory, options);
  if (location.kind === "http") {
    const { createHttpStore } = await import("./http-store.ts");
    return createHttpStore(location.url, policy);
  }
  const { createS3Store } = await import("./s3/s3-store.ts");
  return createS3Store(location, policy);
}
