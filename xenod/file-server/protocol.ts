/** What is said over the file server's control socket: HTTP, JSON, version 1. */
import { type Static, Type } from "typebox";
import { minQuotaBytes } from "../../cowfs/journals/checkpoint-limits.ts";
import { pinNamePattern } from "../../cowfs/journals/pins.ts";
import type { NfsCounters } from "../../cowfs/nfs/counters.ts";
import type { LivePolicy } from "../../templates/layers/live-policy.ts";
import type { PullCounters } from "../../xenostore/pull/tree-cache.ts";
import type { Traffic } from "../../xenostore/stores/meter.ts";
import type { ErrorBody } from "../http/json-server.ts";
import type { BootReads } from "./boot-pull.ts";

/** Where an export is reached; in the host's own network where no namespace is named. */
export const ListenAddress = Type.Object(
  {
    namespace: Type.Optional(Type.String({ pattern: "^[a-z0-9.-]{1,130}$" })),
    host: Type.String({ maxLength: 64 }),
    /** 0 takes any, in the host's own network. */
    port: Type.Integer({ minimum: 0, maximum: 65535 }),
  },
  { additionalProperties: false },
);
export type ListenAddress = Static<typeof ListenAddress>;

export const ExportSpecification = Type.Object(
  {
    /** The layer under the journal. */
    url: Type.String({ maxLength: 1024 }),
    /** The tree that the URL meant when the deployment was accepted; a journal that knows another one keeps to that. */
    tree: Type.Optional(Type.String({ pattern: "^[0-9a-f]{64}$" })),
    /** The journal's directory: absolute. */
    journal: Type.String({ pattern: "^/", maxLength: 1024 }),
    /** What the journal's directory may take of the disk. Default: what there is. */
    quotaBytes: Type.Optional(Type.Integer({ minimum: minQuotaBytes, maximum: Number.MAX_SAFE_INTEGER })),
    listen: ListenAddress,
    /** Where the guest's boot epochs begin: at that of the checkpoint that it resumes. Default 0. */
    bootEpoch: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })),
    requirePrivilegedPort: Type.Optional(Type.Boolean()),
    /** As in cowfs/nfs/export.ts. Default false. */
    unsafeAsync: Type.Optional(Type.Boolean()),
    /** The program whose first read is the event `init`. Default /sbin/init. */
    initPath: Type.Optional(Type.String({ pattern: "^/", maxLength: 1024 })),
  },
  { additionalProperties: false },
);
export type ExportSpecification = Static<typeof ExportSpecification>;

const JournalDirectory = Type.String({ pattern: "^/", maxLength: 1024 });

/** Of a journal, whether an export has it open or not. */
export const SnapshotReference = Type.Object(
  { journal: JournalDirectory, name: Type.String({ pattern: pinNamePattern }) },
  { additionalProperties: false },
);
export type SnapshotReference = Static<typeof SnapshotReference>;

export const SnapshotListing = Type.Object({ journal: JournalDirectory }, { additionalProperties: false });

export const SnapshotFork = Type.Object(
  {
    journal: JournalDirectory,
    name: Type.String({ pattern: pinNamePattern }),
    /** The new journal's directory; its parent is there. */
    fork: JournalDirectory,
    /** `same`: the guest that resumes from the snapshot; `new`: another one with the same files. */
    lineage: Type.Union([Type.Literal("same"), Type.Literal("new")]),
  },
  { additionalProperties: false },
);
export type SnapshotFork = Static<typeof SnapshotFork>;

/** See lay-files.ts. */
export const FileToLay = Type.Object(
  {
    path: Type.String({ pattern: "^/", maxLength: 4095 }),
    base64: Type.String(),
    /** Permission bits. */
    mode: Type.Integer({ minimum: 0, maximum: 0o7777 }),
    uid: Type.Integer({ minimum: 0, maximum: 0xffff_fffe }),
    gid: Type.Integer({ minimum: 0, maximum: 0xffff_fffe }),
  },
  { additionalProperties: false },
);
export type FileToLay = Static<typeof FileToLay>;

/** See exchange-files.ts. In this order. */
export const FileExchange = Type.Object(
  {
    laid: Type.Optional(Type.Array(FileToLay, { maxItems: 16 })),
    kept: Type.Optional(Type.Array(FileToLay, { maxItems: 16 })),
    read: Type.Optional(
      Type.Array(
        Type.Object(
          {
            path: Type.String({ pattern: "^/", maxLength: 4095 }),
            maxBytes: Type.Integer({ minimum: 1, maximum: 1_048_576 }),
          },
          { additionalProperties: false },
        ),
        { maxItems: 64 },
      ),
    ),
  },
  { additionalProperties: false },
);
export type FileExchange = Static<typeof FileExchange>;

/** The end of a file, and how long all of it says that it is. */
export interface FileRead {
  readonly size: number;
  readonly base64: string;
}

export const exportIdPattern = "^[a-z0-9-]{1,40}$";

/** When things first happened, in ms since the epoch; what has not happened yet is absent. Survives restarts. */
export interface ExportEvents {
  /** Every layer under the journal was resolved and open. */
  layers?: number;
  /** The union of journal and layers was open. */
  opened?: number;
  listening?: number;
  mounted?: number;
  init?: number;
}

export const LayerTree = Type.Object(
  { url: Type.String({ maxLength: 1024 }), tree: Type.String({ pattern: "^[0-9a-f]{64}$" }) },
  { additionalProperties: false },
);
export type LayerTree = Readonly<Static<typeof LayerTree>>;

/** See prepared-exports.ts. */
export const ExportPreparation = Type.Object(
  { listen: ListenAddress, layers: Type.Array(LayerTree, { maxItems: 256 }) },
  { additionalProperties: false },
);
export interface ExportPreparation {
  readonly listen: ListenAddress;
  readonly layers: readonly LayerTree[];
}

export interface ExportStatus {
  readonly id: string;
  /** The process that serves it. */
  readonly process: number;
  /** `failed`: it is being opened again. `held`: its domain is being saved. Meanwhile its clients wait. */
  readonly state: "opening" | "serving" | "held" | "failed" | "closed";
  readonly specification: ExportSpecification;
  readonly port: number;
  readonly bootEpoch: number;
  readonly events: ExportEvents;
  /** Every tree that its journal lies over, while it is open. */
  readonly layers?: readonly LayerTree[];
  /** Whether the file system has the program of `initPath`. */
  readonly hasInit: boolean;
  /** How often the file system failed closed and was opened anew, in this life of the worker. */
  readonly failures: number;
  /** Why the journal's last checkpoint failed: its log grows until one succeeds. */
  readonly checkpointFailure?: string;
  /** Files of the journal of which something did not verify when it was read, since it was opened: that is not given out. */
  readonly damagedFiles?: readonly string[];
  /** What the guest's boot has read of its layers, while this life of the worker saw it. */
  readonly boot?: BootReads;
  readonly error?: ErrorBody;
  readonly counters?: NfsCounters;
}

export interface HeldExport {
  /** The guest's ports of the connections that were cut. */
  readonly guestPorts: readonly number[];
}

export interface FileServerStatus {
  readonly name: string;
  readonly keeper: number;
  /** The first, which answers. */
  readonly worker: number;
  /** Ms since the epoch. */
  readonly started: number;
  readonly exports: readonly ExportStatus[];
  readonly traffic: readonly Traffic[];
  readonly pulled: PullCounters;
}

/** Of an export, for the worker that answers for all. */
export interface ExportPlace {
  /** Whether it is served here, or prepared. */
  readonly isHere: boolean;
  readonly journal?: string;
}

/** See xenostore/pull/borrow-tree.ts; `layout` is the pack map's id. */
export const ChunkRequest = Type.Object(
  {
    layout: Type.String({ pattern: "^[0-9a-f]{64}$" }),
    chunks: Type.Array(Type.Integer({ minimum: 0 }), { maxItems: 64 }),
  },
  { additionalProperties: false },
);
export type ChunkRequest = Static<typeof ChunkRequest>;

/** What found no room on the disk, and what could not be had. */
export interface BroughtChunks {
  readonly kept: readonly { readonly chunk: number; readonly base64: string }[];
  readonly failed: readonly { readonly chunk: number; readonly error: ErrorBody }[];
}

export const AheadRequest = Type.Object(
  {
    layout: Type.String({ pattern: "^[0-9a-f]{64}$" }),
    /** All by default. */
    chunks: Type.Optional(Type.Array(Type.Integer({ minimum: 0 }))),
    isPaced: Type.Boolean(),
  },
  { additionalProperties: false },
);
export type AheadRequest = Static<typeof AheadRequest>;

/** Of a deployment that follows its names: see follow-names.ts. */
export const FollowRequest = Type.Object(
  {
    journal: Type.String({ pattern: "^/", maxLength: 1024 }),
    /** The layer under the journal. */
    url: Type.String({ maxLength: 1024 }),
    /** Only look whether anything has changed, also while an export has the journal open. */
    lookOnly: Type.Optional(Type.Boolean()),
  },
  { additionalProperties: false },
);
export type FollowRequest = Static<typeof FollowRequest>;

export interface Followed {
  readonly isChanged: boolean;
  /** What the journal lies over now, where that has changed. */
  readonly tree?: string;
}

export const requestIdPattern = "^[A-Za-z0-9_-]{8,64}$";

export const PrecacheRequest = Type.Object(
  {
    urls: Type.Array(Type.String({ maxLength: 1024 }), { minItems: 1, maxItems: 256 }),
    /** Only what the boot traces name. */
    traceOnly: Type.Optional(Type.Boolean()),
    bytesPerSecond: Type.Optional(Type.Integer({ minimum: 1 })),
  },
  { additionalProperties: false },
);
export type PrecacheRequest = Static<typeof PrecacheRequest>;

export interface PrecacheItem {
  readonly url: string;
  readonly tree?: string;
  readonly phase: "waiting" | "trace" | "all" | "done" | "failed";
  /** Of this phase. */
  readonly doneBytes: number;
  readonly totalBytes: number;
  /** Bytes of content that came into the cache for this request, once a phase is over. */
  readonly broughtBytes: number;
  readonly error?: ErrorBody;
}

export interface PrecacheStatus {
  readonly items: readonly PrecacheItem[];
  readonly isOver: boolean;
}

/** `<state>/file-server.json`: what the worker needs to know before it is asked anything. */
export interface FileServerConfiguration {
  readonly format: 1;
  /** The XenoServer's. */
  readonly name: string;
  /** As `openStore` takes it. */
  readonly store: string;
  readonly trustDirectory: string;
  readonly pull?: PullSettings;
  /** How many processes serve the exports. Default: one for each core, up to 8. */
  readonly workers?: number;
  /** What of the host and its network the guests' `.mount` files may reach. Without it, nothing; with it, there is one worker. */
  readonly live?: LivePolicy;
}

/** How content comes into a XenoServer's cache, and what is said when it does not. */
export interface PullSettings {
  /** What the cache may take of the disk; without it, as much as there is. */
  readonly cacheBytes?: number;
  /** After its boot, what a guest has not read yet is brought at this rate; without it, only what it reads is. */
  readonly fillBytesPerSecond?: number;
  /** After how long data that cannot be had is an I/O error for the guest, in ms; without it, the guest waits. */
  readonly ioErrorAfterMs?: number;
}
