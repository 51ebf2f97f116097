/**
 * A store in a bucket of any S3-compatible service.
 *
 * Every object is written by one PutObject (packs are at most 32 MiB, and Ceph's CompleteMultipartUpload ignores
 * If-None-Match). Names move by `If-Match` over the ETag of exactly the bytes that were expected; before the first write
 * the endpoint is asked whether it keeps its word (`conditions.ts`). Requests are tried again by us, not by the SDK: it
 * does not when a body breaks off.
 */
import { createHash, randomUUID } from "node:crypto";
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from "@aws-sdk/client-s3";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import { XenoError } from "../../../cowfs/errors.ts";
import {
  checkKey,
  defaultMaximumBytes,
  type GetOptions,
  type ObjectStore,
  objectTooLarge,
  objectTooShort,
  type RequestOptions,
} from "../object-store.ts";
import { RemoteRequests } from "../remote/attempts.ts";
import type { RemotePolicy } from "../remote/policy.ts";
import { parseContentRange, readBody } from "../remote/read-body.ts";
import type { Watchdog } from "../remote/watchdog.ts";
import type { S3Location } from "../store-url.ts";
import { type Conditions, formatEtag, probeConditions, requireSafe, type Written } from "./conditions.ts";
import { createCredentialProvider } from "./credentials.ts";
import {
  explainS3Failure,
  isCredentialFailure,
  isMissing,
  isPreconditionFailure,
  isUnexplainedLoss,
} from "./s3-errors.ts";

const connectMs = 10_000;
const maxListed = 1_000_000;

/** Beside what every store does: what its endpoint is worth. */
export interface S3Store extends ObjectStore {
  /** Asked once; rejects with `store-credentials` where we may not write. */
  conditions(signal?: AbortSignal): Promise<Conditions>;
}

/** Nothing is asked before the first request. */
export function createS3Store(location: S3Location, policy: RemotePolicy): S3Store {
  return new BucketStore(location, policy);
}

class BucketStore implements S3Store {
  readonly name: string;
  readonly #location: S3Location;
  readonly #requests: RemoteRequests;
  #opened: S3Client | undefined;
  #conditions: Promise<Conditions> | undefined;

  constructor(location: S3Location, policy: RemotePolicy) {
    const { bucket, prefix, endpoint } = location;
    this.#location = location;
    this.name = `the store s3://${bucket}${prefix && `/${prefix}`}${endpoint === undefined ? "" : ` at ${endpoint}`}`;
    this.#requests = new RemoteRequests(policy);
  }

  async get(key: string, options: GetOptions = {}): Promise<Buffer> {
    const target = this.#target(key);
    const { range, maximumBytes = defaultMaximumBytes, signal } = options;
    if (range !== undefined && range.length > maximumBytes) throw objectTooLarge(key, range.length, maximumBytes);
    if (range?.length === 0) return Buffer.alloc(0);
    const { body } = await this.#read(key, { ...target, ...formatRange(range) }, { range, maximumBytes, signal });
    return body;
  }

  async stat(key: string, { signal }: RequestOptions = {}): Promise<{ bytes: number } | undefined> {
    const head = await this.#head(key, signal);
    return head && { bytes: head.bytes };
  }

  async holds(key: string, bytes: Buffer, { signal }: RequestOptions = {}): Promise<boolean> {
    const head = await this.#head(key, signal);
    if (head?.bytes !== bytes.length) return false;
    // Where the ETag is no MD5 (encryption with a customer's key), only the bytes tell.
    if (/^"?[0-9a-f]{32}"?$/.test(head.etag)) {
      if (formatEtag(head.etag, "plain") === createHash("md5").update(bytes).digest("hex")) return true;
    }
    return (await this.get(key, { maximumBytes: bytes.length, signal })).equals(bytes);
  }

  async putIfAbsent(key: string, bytes: Buffer, { signal }: RequestOptions = {}): Promise<"stored" | "present"> {
    const target = this.#target(key);
    signal?.throwIfAborted();
    await this.#requireSafe(signal);
    const isStored = await this.#write(key, { ...target, Body: bytes, IfNoneMatch: "*" }, signal);
    return isStored ? "stored" : "present";
  }

  async replace(key: string, bytes: Buffer, { signal }: RequestOptions = {}): Promise<void> {
    await this.#write(key, { ...this.#target(key), Body: bytes }, signal);
  }

  async compareAndSet(
    key: string,
    expected: Buffer | undefined,
    bytes: Buffer,
    { signal }: RequestOptions = {},
  ): Promise<boolean> {
    const target = this.#target(key);
    const { etags } = await this.#requireSafe(signal);
    if (expected === undefined) return await this.#write(key, { ...target, Body: bytes, IfNoneMatch: "*" }, signal);
    const current = await this.#read(key, target, { maximumBytes: defaultMaximumBytes, signal }).catch((error) => {
      if (error instanceof XenoError && error.code === "object-missing") return undefined;
      throw error;
    });
    if (current === undefined || !current.body.equals(expected)) return false;
    const condition = { IfMatch: formatEtag(current.etag, etags) };
    return await this.#write(key, { ...target, Body: bytes, ...condition }, signal);
  }

  async list(prefix: string, { signal }: RequestOptions = {}): Promise<string[]> {
    const start = prefix.replace(/\/$/, "");
    if (start !== "") checkKey(start);
    const base = this.#location.prefix === "" ? "" : `${this.#location.prefix}/`;
    const keys: string[] = [];
    let token: string | undefined;
    do {
      const page = await this.#send(prefix, signal, (client, watchdog) =>
        client.send(
          new ListObjectsV2Command({
            Bucket: this.#location.bucket,
            Prefix: `${base}${start === "" ? "" : `${start}/`}`,
            ContinuationToken: token,
          }),
          { abortSignal: watchdog.signal },
        ),
      );
      for (const { Key = "" } of page.Contents ?? []) keys.push(Key.slice(base.length));
      token = page.IsTruncated === true ? page.NextContinuationToken : undefined;
      if (keys.length > maxListed)
        throw new XenoError("store-unavailable", `${this.name} lists more than ${maxListed} objects`);
    } while (token !== undefined);
    return keys.filter(isPossibleKey).sort((a, b) => (a < b ? -1 : 1));
  }

  async delete(key: string, { signal }: RequestOptions = {}): Promise<void> {
    const target = this.#target(key);
    await this.#send(key, signal, (client, watchdog) =>
      client.send(new DeleteObjectCommand(target), { abortSignal: watchdog.signal }),
    );
  }

  async conditions(signal?: AbortSignal): Promise<Conditions> {
    this.#conditions ??= probeConditions(
      {
        create: (key, bytes) => this.#try(key, { IfNoneMatch: "*" }, bytes, signal),
        replace: (key, bytes, etag) => this.#try(key, { IfMatch: etag }, bytes, signal),
        delete: (key) => this.delete(key),
      },
      `probe/${randomUUID()}`,
    );
    const probing = this.#conditions;
    try {
      return await probing;
    } catch (error) {
      // What passes is to be asked again.
      if (this.#conditions === probing) this.#conditions = undefined;
      throw error;
    }
  }

  async #requireSafe(signal: AbortSignal | undefined): Promise<Conditions> {
    const conditions = await this.conditions(signal);
    requireSafe(conditions, this);
    return conditions;
  }

  async #try(
    key: string,
    condition: { IfNoneMatch?: string; IfMatch?: string },
    bytes: Buffer,
    signal: AbortSignal | undefined,
  ): Promise<Written> {
    return await this.#send(key, signal, async (client, watchdog) => {
      try {
        const { ETag: etag = "" } = await client.send(
          new PutObjectCommand({ ...this.#target(key), Body: bytes, ...condition }),
          { abortSignal: watchdog.signal },
        );
        return { kind: "written", etag };
      } catch (error) {
        const status = (error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode;
        if (isPreconditionFailure(error) || status === 409) return { kind: "lost" };
        if (status === 501 || status === 400) return { kind: "refused" };
        throw error;
      }
    });
  }

  /** False where the condition did not hold. */
  async #write(
    key: string,
    input: ConstructorParameters<typeof PutObjectCommand>[0],
    signal: AbortSignal | undefined,
  ): Promise<boolean> {
    const bytes = input.Body as Buffer;
    return await this.#send(key, signal, async (client, watchdog, number) => {
      watchdog.expect(bytes.length, false);
      try {
        await client.send(new PutObjectCommand(input), { abortSignal: watchdog.signal });
        return true;
      } catch (error) {
        if (!isPreconditionFailure(error)) throw error;
        // An earlier attempt whose answer was lost may be who was first.
        return number > 0 && (await this.holds(key, bytes, { signal }));
      }
    });
  }

  async #read(
    key: string,
    input: ConstructorParameters<typeof GetObjectCommand>[0],
    { range, maximumBytes, signal }: GetOptions & { maximumBytes: number },
  ): Promise<{ body: Buffer; etag: string }> {
    return await this.#send(key, signal, async (client, watchdog) => {
      const answer = await client.send(new GetObjectCommand(input), { abortSignal: watchdog.signal });
      const body = answer.Body as AsyncIterable<Uint8Array> & { destroy(): void };
      try {
        if (range !== undefined) {
          const given = parseContentRange(answer.ContentRange);
          if (given?.start !== range.start || given.length > range.length)
            throw new XenoError("store-unavailable", `${this.name} does not answer range requests for ${key}`, {
              hint: "XenoStore needs a service that does.",
            });
          if (given.length < range.length) throw objectTooShort(this, key, range.start + given.length);
        }
        const expected = { store: this, key, length: range?.length ?? answer.ContentLength, maximumBytes };
        return { body: await readBody(body, expected, watchdog), etag: answer.ETag ?? "" };
      } finally {
        body.destroy();
      }
    });
  }

  async #head(key: string, signal: AbortSignal | undefined): Promise<{ bytes: number; etag: string } | undefined> {
    const target = this.#target(key);
    return await this.#send(key, signal, async (client, watchdog) => {
      try {
        const answer = await client.send(new HeadObjectCommand(target), { abortSignal: watchdog.signal });
        return { bytes: answer.ContentLength ?? 0, etag: answer.ETag ?? "" };
      } catch (error) {
        if (isMissing(error)) return undefined;
        throw error;
      }
    });
  }

  async #send<T>(
    key: string,
    signal: AbortSignal | undefined,
    run: (client: S3Client, watchdog: Watchdog, number: number) => Promise<T>,
  ): Promise<T> {
    let isRenewed = false;
    let repeats = 0;
    return await this.#requests.run(signal, async (watchdog, number) => {
      for (;;) {
        this.#opened ??= this.#open();
        const client = this.#opened;
        try {
          return await run(client, watchdog, number + repeats);
        } catch (error) {
          const isRefused = !(error instanceof XenoError) && isCredentialFailure(error);
          // Credentials that were replaced in their file are taken up; once, or each refusal would be two.
          if (isRefused && this.#opened === client) this.#opened = undefined;
          if (isRefused && !isRenewed) {
            isRenewed = true;
            continue;
          }
          // Once, at once, and untold: it is no trouble of the store's.
          if (isUnexplainedLoss(error) && repeats === 0) {
            repeats++;
            continue;
          }
          throw explainS3Failure(error, this, key, watchdog.reason);
        }
      }
    });
  }

  #open(): S3Client {
    const { endpoint, region, profile } = this.#location;
    return new S3Client({
      region,
      endpoint,
      // A bucket as a host name needs DNS that other services than Amazon's rarely have.
      forcePathStyle: endpoint !== undefined,
      credentials: createCredentialProvider(profile),
      maxAttempts: 1,
      // Ceph 16 takes neither the checksum headers nor the trailers that the SDK sends by default.
      requestChecksumCalculation: "WHEN_REQUIRED",
      responseChecksumValidation: "WHEN_REQUIRED",
      requestHandler: new NodeHttpHandler({
        connectionTimeout: connectMs,
        requestTimeout: 0,
        httpAgent: { keepAlive: true, maxSockets: this.#requests.policy.concurrency },
        httpsAgent: { keepAlive: true, maxSockets: this.#requests.policy.concurrency },
      }),
    });
  }

  #target(key: string): { Bucket: string; Key: string } {
    checkKey(key);
    const { bucket, prefix } = this.#location;
    return { Bucket: bucket, Key: prefix === "" ? key : `${prefix}/${key}` };
  }
}

function formatRange(range: GetOptions["range"]): { Range?: string } {
  return range === undefined ? {} : { Range: `bytes=${range.start}-${range.start + range.length - 1}` };
}

/** Others may keep things in the bucket, too. */
function isPossibleKey(key: string): boolean {
  try {
    checkKey(key);
    return true;
  } catch {
    return false;
  }
}
