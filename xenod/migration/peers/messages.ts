/**
 * What XenoServers say to each other to move a domain, beside the protocol's own messages. Only the source calls: what the
 * target has to say is in its answers, and the source asks for it as long as there may be something (`listen`).
 *
 * It comes from another host. The target takes names and sizes only as these schemas have them; beyond that it believes
 * the source as it would its checkpoints, since a memory image is code that runs with the hypervisor (peer-routes.ts).
 */
import { type Static, Type } from "typebox";
import { CheckpointManifest } from "../../checkpoints/manifest.ts";
import { Deployment, domainNamePattern } from "../../daemon/deployment.ts";
import type { DomainRecord } from "../../daemon/domain-record.ts";
import { LayerTree } from "../../file-server/protocol.ts";
import type { ErrorBody } from "../../http/json-server.ts";
import type { TargetMessage } from "../protocol/messages.ts";
import type { TargetState } from "../protocol/target.ts";
import { serverNamePattern } from "./peer.ts";

const Hash = Type.String({ pattern: "^[0-9a-f]{64}$" });
const Count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const Address = Type.String({ maxLength: 15 });

/** What is beyond is opened when the journal is here. */
const maxLayers = 256;

/** Of this XenoServer's offers, and the newest that it takes. 2: with checkpoints, and the journal's end in one message. */
export const offerFormat = 2;

/** A domain that is to be received: all that it takes to make it again. */
export const MigrationOffer = Type.Object(
  {
    format: Type.Integer({ minimum: 1, maximum: offerFormat }),
    domain: Type.String({ pattern: domainNamePattern }),
    deployment: Deployment,
    task: Type.String({ maxLength: 64 }),
    overlayTree: Hash,
    kernelTree: Hash,
    /** What its journal lies over, for the target to bring it meanwhile. Default: what the overlay names is enough. */
    layers: Type.Optional(Type.Array(LayerTree, { maxItems: maxLayers })),
    /** See `Domain.platform`. */
    platform: Type.String({ maxLength: 200 }),
    /** The routable address that the guest believes to be its own. */
    guestAddress: Type.Optional(Address),
    restarts: Type.Optional(Count),
    /** Those that come with it: the next one's number is past this. */
    checkpoints: Type.Optional(Count),
    /** Ms since the epoch, by `DeploymentStep`. */
    steps: Type.Record(Type.String({ pattern: "^[a-zA-Z]{1,20}$" }), Count, { maxProperties: 16 }),
  },
  { additionalProperties: false },
);
export type MigrationOffer = Static<typeof MigrationOffer>;

/** A file of the journal: one of the directory itself, or of one below it. */
export const journalFilePattern = "^([A-Za-z0-9][A-Za-z0-9._-]{0,127}/)?[A-Za-z0-9][A-Za-z0-9._-]{0,127}$";
export const maxJournalFiles = 100_000;

/** What was last to be known: all has been sent when this is said. */
export const FinalState = Type.Object(
  {
    /** All of the journal's: what else was sent is none of it any more. */
    files: Type.Array(
      Type.Object(
        { path: Type.String({ pattern: journalFilePattern }), bytes: Count },
        { additionalProperties: false },
      ),
      { maxItems: maxJournalFiles },
    ),
    bootEpoch: Count,
    /** The guest's ports of its connections to the file server, which were cut. */
    guestPorts: Type.Array(Type.Integer({ minimum: 1, maximum: 65_535 }), { maxItems: 1024 }),
  },
  { additionalProperties: false },
);
export type FinalState = Static<typeof FinalState>;

/** All of the journal has been sent, but for what is here. */
export const JournalEnd = Type.Object(
  {
    final: FinalState,
    small: Type.Array(
      Type.Object(
        { path: Type.String({ pattern: journalFilePattern }), content: Type.String({ maxLength: 2 ** 22 }) },
        { additionalProperties: false },
      ),
      { maxItems: maxJournalFiles },
    ),
  },
  { additionalProperties: false },
);
export type JournalEnd = Static<typeof JournalEnd>;

export const SourceSays = Type.Object(
  {
    kind: Type.Enum(["final", "go", "abort", "forget"]),
    /** With `final`. */
    final: Type.Optional(FinalState),
  },
  { additionalProperties: false },
);
export type SourceSays = Static<typeof SourceSays>;

export const PeerParameters = Type.Object({ server: Type.String({ pattern: serverNamePattern }) });
export type PeerParameters = Static<typeof PeerParameters>;

export const migrationPattern = "^[0-9a-f-]{36}$";
export const ReceptionParameters = Type.Object({
  server: PeerParameters.properties.server,
  migration: Type.String({ pattern: migrationPattern }),
});
export type ReceptionParameters = Static<typeof ReceptionParameters>;

const CheckpointNumber = Type.Integer({ minimum: 0, maximum: 1_000_000_000 });

/** `same...`: it is that file, which is there already. */
export const CheckpointFileQuery = Type.Object({
  path: Type.String({ pattern: journalFilePattern }),
  sameCheckpoint: Type.Optional(CheckpointNumber),
  samePath: Type.Optional(Type.String({ pattern: journalFilePattern })),
});
export type CheckpointFileQuery = Static<typeof CheckpointFileQuery>;

export const CheckpointParameters = Type.Object({
  ...ReceptionParameters.properties,
  checkpoint: Type.Integer({ minimum: 1, maximum: 1_000_000_000 }),
});
export type CheckpointParameters = Static<typeof CheckpointParameters>;

/** All of it has been sent. */
export const KeptCheckpoint = Type.Object(
  { manifest: CheckpointManifest, files: FinalState.properties.files },
  { additionalProperties: false },
);
export type KeptCheckpoint = Static<typeof KeptCheckpoint>;

export interface TargetAnswer {
  readonly state: TargetState["state"];
  /** Nothing has to be said about this migration any more. */
  readonly isSettled: boolean;
  readonly messages: readonly TargetMessage[];
  /** Why it is not prepared. */
  readonly problem?: ErrorBody;
}

/** What a connection is upgraded to that carries a guest's memory. */
export const memoryProtocol = "xeno-memory";

export function describeOffer(record: DomainRecord, platform: string): MigrationOffer {
  const { name, deployment, task, overlayTree, kernelTree, layers, restarts, steps } = record;
  const guestAddress = record.guestAddress ?? record.address;
  return {
    ...{ format: offerFormat, domain: name, deployment, task, overlayTree, kernelTree, platform, steps },
    ...(layers !== undefined && { layers: layers.slice(0, maxLayers) }),
    ...(restarts !== undefined && { restarts }),
    ...(record.checkpoints !== undefined && { checkpoints: record.checkpoints }),
    ...(guestAddress !== undefined && { guestAddress }),
  };
}
