/**
 * What an endpoint's conditional writes are worth (RFC 9110, section 13), found out by trying.
 *
 * Names move by compare-and-set: on an endpoint that takes a condition and ignores it, two publishers would both be told
 * that they had won. Endpoints differ: Amazon S3 wants an ETag in quotes, Ceph's gateway (16.2) without; some ignore the
 * headers, some answer 501.
 */
import { XenoError } from "../../../cowfs/errors.ts";

export interface Conditions {
  /** `If-None-Match: *` lets one writer win. */
  readonly create: "atomic" | "ignored" | "refused";
  /** `If-Match` lets one writer win. */
  readonly replace: "atomic" | "ignored" | "refused";
  /** How this endpoint wants an ETag in `If-Match`. */
  readonly etags: "quoted" | "plain";
}

/** How the probe writes; each answers whether the write was let through, and rejects where it was no condition. */
export interface ConditionalWrites {
  create(key: string, bytes: Buffer): Promise<Written>;
  replace(key: string, bytes: Buffer, etag: string): Promise<Written>;
  delete(key: string): Promise<void>;
}

/** `refused`: the endpoint does not know the condition (501, 400). */
export type Written = { readonly kind: "written"; readonly etag: string } | { readonly kind: "lost" | "refused" };

const racers = 4;

/** Tries under `folder`, and leaves nothing there. Rejects with what the store refuses otherwise. */
export async function probeConditions(writes: ConditionalWrites, folder: string): Promise<Conditions> {
  const keys = [`${folder}/create`, `${folder}/race`];
  try {
    const first = await writes.create(keys[0], Buffer.from("first"));
    const second = await writes.create(keys[0], Buffer.from("second"));
    if (first.kind !== "written") return { create: "refused", replace: "refused", etags: "quoted" };
    const isCreateKept =
      second.kind === "lost" && (await countWinners((i) => writes.create(keys[1], content(i)))) === 1;
    const create = isCreateKept ? "atomic" : second.kind === "refused" ? "refused" : "ignored";
    return { create, ...(await probeReplace(writes, keys[0], second.kind === "written" ? second.etag : first.etag)) };
  } finally {
    for (const key of keys) await writes.delete(key).catch(() => {});
  }
}

async function probeReplace(
  writes: ConditionalWrites,
  key: string,
  etag: string,
): Promise<Pick<Conditions, "replace" | "etags">> {
  const wrong = await writes.replace(key, Buffer.from("wrong"), `"${"0".repeat(32)}"`);
  if (wrong.kind === "written") return { replace: "ignored", etags: "quoted" };
  if (wrong.kind === "refused") return { replace: "refused", etags: "quoted" };
  for (const etags of ["quoted", "plain"] as const) {
    const right = await writes.replace(key, Buffer.from("right"), formatEtag(etag, etags));
    if (right.kind !== "written") continue;
    const current = formatEtag(right.etag, etags);
    const winners = await countWinners((i) => writes.replace(key, content(i), current));
    return { replace: winners === 1 ? "atomic" : "ignored", etags };
  }
  return { replace: "refused", etags: "quoted" };
}

async function countWinners(write: (index: number) => Promise<Written>): Promise<number> {
  const outcomes = await Promise.all(Array.from({ length: racers }, (_, index) => write(index)));
  return outcomes.filter(({ kind }) => kind === "written").length;
}

const content = (index: number) => Buffer.from(`racer ${index}`);

export function formatEtag(etag: string, etags: Conditions["etags"]): string {
  const plain = etag.replaceAll('"', "");
  return etags === "plain" ? plain : `"${plain}"`;
}

/** Throws `store-unsafe` where names could be lost. */
export function requireSafe({ create, replace }: Conditions, store: { readonly name: string }): void {
  if (create === "atomic" && replace === "atomic") return;
  const weak = [create !== "atomic" && `If-None-Match is ${create}`, replace !== "atomic" && `If-Match is ${replace}`];
  throw new XenoError(
    "store-unsafe",
    `${store.name} cannot keep two publishers apart: ${weak.filter(Boolean).join(", ")}`,
    { hint: "It can be read. To publish, use a service with conditional writes, such as Ceph RGW 16 or Amazon S3." },
  );
}
