/** What an S3 service's refusals mean to us, by their code (Amazon S3 API Reference, "Error responses"). */
import { XenoError } from "../../../cowfs/errors.ts";
import { objectMissing, objectTooShort, PassingStoreError } from "../object-store.ts";
import { readRetryAfter } from "../remote/attempts.ts";

export interface S3Failure {
  readonly name?: string;
  readonly Code?: string;
  readonly message?: string;
  readonly $metadata?: { readonly httpStatusCode?: number };
  readonly $response?: { readonly headers?: Readonly<Record<string, string>> };
}

const credentialCodes = new Set([
  "AccessDenied",
  "AccountProblem",
  "CredentialsProviderError",
  "ExpiredToken",
  "ExpiredTokenException",
  "InvalidAccessKeyId",
  "InvalidToken",
  "RequestTimeTooSkewed",
  "SignatureDoesNotMatch",
  "TokenRefreshRequired",
]);
const throttlingCodes = new Set([
  "SlowDown",
  "Throttling",
  "ThrottlingException",
  "TooManyRequests",
  "RequestLimitExceeded",
]);
const fullCodes = new Set(["QuotaExceeded", "InsufficientStorage", "EntityTooLarge", "XMinioStorageFull"]);

export function isCredentialFailure(error: unknown): boolean {
  const { code, status } = readFailure(error);
  return credentialCodes.has(code) || ((status === 401 || status === 403) && !fullCodes.has(code));
}

export function isMissing(error: unknown): boolean {
  const { code, status } = readFailure(error);
  return code === "NoSuchKey" || code === "NotFound" || (status === 404 && code !== "NoSuchBucket");
}

/** Somebody was first. */
export function isPreconditionFailure(error: unknown): boolean {
  const { code, status } = readFailure(error);
  return status === 412 || code === "PreconditionFailed";
}

/**
 * What Ceph's gateway (16.2) answers a write with `If-Match` that met another one and lost: its ECANCELED has no answer of
 * its own. Asked again, it tells by 412 that the condition does not hold.
 */
export function isUnexplainedLoss(error: unknown): boolean {
  const { code, status } = readFailure(error);
  return status === 500 && code === "UnknownError";
}

export function explainS3Failure(
  error: unknown,
  store: { readonly name: string },
  key: string,
  reason?: string,
): XenoError {
  if (error instanceof XenoError) return error;
  const { code, status, message } = readFailure(error);
  const what = [code, status].filter(Boolean).join(", ");
  if (code === "NoSuchBucket")
    return new XenoError("store-unavailable", `${store.name} has no such bucket`, {
      cause: error,
      hint: "Make the bucket with the service's own tools; XenoStore makes objects, not buckets.",
    });
  if (isMissing(error)) return objectMissing(store, key, error);
  if (status === 416 || code === "InvalidRange") return objectTooShort(store, key, 0);
  if (fullCodes.has(code) || status === 507)
    return new XenoError("store-full", `${store.name} has no room for ${key} (${what})`, {
      cause: error,
      hint: "Raise the quota or make room, then run the same command again: what was stored is not sent twice.",
    });
  if (isCredentialFailure(error)) return explainCredentials(error, store, key, what);
  const retryAfterMs = readRetryAfter((error as S3Failure).$response?.headers?.["retry-after"]);
  if (status === 429 || throttlingCodes.has(code))
    return new PassingStoreError("store-throttled", `${store.name} asks for fewer requests (${what})`, {
      cause: error,
      retryAfterMs,
      hint: "Wait, then run the same command again: what was stored is not sent twice.",
    });
  // 409: two conditional writes met. No status: the answer never came.
  if (status === undefined || status >= 500 || status === 408 || status === 409)
    return new PassingStoreError("store-unavailable", `${store.name} cannot be used for ${key}: ${reason ?? message}`, {
      cause: error,
      retryAfterMs,
      hint: "Check the endpoint and the network; then try again.",
    });
  return new XenoError("store-unavailable", `${store.name} refuses ${key}: ${message} (${what})`, {
    cause: error,
    hint:
      status === 301 || code === "AuthorizationHeaderMalformed"
        ? "Name the bucket's region: s3://BUCKET?region=…"
        : "Check the bucket and its policy.",
  });
}

/** The key's id may show, the secret never does: the SDK's own messages hold neither. */
function explainCredentials(error: unknown, store: { readonly name: string }, key: string, what: string): XenoError {
  const hints: Record<string, string> = {
    CredentialsProviderError:
      "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or put them into ~/.aws/credentials (profile=… in the URL).",
    ExpiredToken: "Renew the credentials: they are read again, no restart is needed.",
    RequestTimeTooSkewed: "Set this machine's clock.",
  };
  const { code } = readFailure(error);
  const reason = code === "CredentialsProviderError" ? "finds no credentials" : `refuses our credentials for ${key}`;
  return new XenoError("store-credentials", `${store.name} ${reason} (${what})`, {
    cause: error,
    hint: hints[code] ?? "Check the key, its secret, and what the bucket's policy lets it do.",
  });
}

function readFailure(error: unknown): { code: string; status: number | undefined; message: string } {
  const failure = error as S3Failure;
  const code = failure.Code ?? failure.name ?? "";
  const { message = "" } = failure;
  return {
    code: code === "Error" ? "" : code,
    status: failure.$metadata?.httpStatusCode,
    message: message === "" || message === "UnknownError" ? code : message,
  };
}
