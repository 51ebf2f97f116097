/**
 * What refs say, believed or not: for keeping objects, a claim is enough. A sweeper has no keys of all owners, and a claim
 * that nobody can verify keeps too much, never too little.
 */
import { decodeJwt } from "jose";
import { Type } from "typebox";
import { Check } from "typebox/value";
import type { StoredTree } from "../refs/ref.ts";

const Hash = Type.String({ pattern: "^[0-9a-f]{64}$" });
const Stored = Type.Object({ tree: Hash, layout: Hash });
const Claims = Type.Object({
  tree: Hash,
  layout: Hash,
  base: Type.Array(Stored),
  keeps: Type.Optional(Type.Array(Stored)),
  version: Type.String(),
  created: Type.Integer(),
});

export interface Claims extends StoredTree {
  readonly base: readonly StoredTree[];
  readonly keeps?: readonly StoredTree[];
  readonly version: string;
  readonly created: number;
}

/** Undefined where it is no ref. */
export function readClaims(bytes: Buffer): Claims | undefined {
  try {
    const claims = decodeJwt(bytes.toString("latin1"));
    return Check(Claims, claims) ? claims : undefined;
  } catch {
    return undefined;
  }
}

/** Every tree that has to be kept for what a ref says: its own, what that lies over, and what it needs besides. */
export function listKept({ tree, layout, base, keeps = [] }: Claims): StoredTree[] {
  return [{ tree, layout }, ...base, ...keeps];
}
