/**
 * What is known of a checkpoint beside its memory and its files: all that it takes to make the same domain again.
 *
 * The memory image carries no configuration that anyone heeds: a resumed domain is made from this, which is Xenod's own record, or
 * was signed by a XenoServer whose checkpoints the operator trusts.
 */
import { type Static, Type } from "typebox";
import { pinNamePattern } from "../../cowfs/journals/pins.ts";
import { Deployment, domainNamePattern } from "../daemon/deployment.ts";

const Hash = Type.String({ pattern: "^[0-9a-f]{64}$" });
const Count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });

export const CheckpointManifest = Type.Object(
  {
    format: Type.Literal(1),
    /** Counts a domain's checkpoints from 1. */
    number: Type.Integer({ minimum: 1, maximum: 1_000_000_000 }),
    /** Where it was taken. */
    server: Type.String({ maxLength: 40 }),
    domain: Type.String({ pattern: domainNamePattern }),
    /** Ms since the epoch. */
    created: Count,
    deployment: Deployment,
    overlayTree: Hash,
    kernelTree: Hash,
    /** What its journal lies over. */
    layers: Type.Optional(
      Type.Array(Type.Object({ url: Type.String({ maxLength: 1024 }), tree: Hash }), { maxItems: 8192 }),
    ),
    /** See `Domain.platform`. */
    platform: Type.String({ maxLength: 200 }),
    /** The routable address that the guest believes to be its own. */
    guestAddress: Type.Optional(Type.String({ maxLength: 15 })),
    /** Of the guest, which its export goes on with. */
    bootEpoch: Count,
    /** The guest's ports of its connections to the file server, which were cut. */
    guestPorts: Type.Array(Type.Integer({ minimum: 1, maximum: 65_535 }), { maxItems: 1024 }),
    memory: Type.Object({ bytes: Count, hash: Hash }),
    /** The directory in the domain's own, and the pin in it. */
    journal: Type.Object({
      directory: Type.String({ pattern: "^journal(-[0-9]{1,12})?$" }),
      pin: Type.String({ pattern: pinNamePattern }),
    }),
  },
  { additionalProperties: false },
);
export type CheckpointManifest = Static<typeof CheckpointManifest>;
