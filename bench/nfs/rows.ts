/** What is measured: the rows of the comparison, and how many times the peer's speed each aims at. */

export interface Row {
  /** As nfs/client knows it. */
  readonly name: string;
  readonly title: string;
  /** `rate`: units per second. `bytes`: bytes per second. `time`: seconds for one unit. */
  readonly measure: "rate" | "bytes" | "time";
  /** Times the peer, by depth; what has only one depth is measured at 1. */
  readonly goals: Readonly<Record<number, number>>;
}

export const rows: readonly Row[] = [
  { name: "getattr", title: "GETATTR", measure: "rate", goals: { 1: 1.4, 16: 4 } },
  { name: "lookup", title: "LOOKUP over all names", measure: "rate", goals: { 1: 1.5, 16: 4 } },
  { name: "read4k", title: "READ 4 KiB", measure: "rate", goals: { 1: 1.5, 16: 4.5 } },
  { name: "trace", title: "small-file trace", measure: "rate", goals: { 1: 1.5, 16: 4 } },
  { name: "readdirplus", title: "READDIRPLUS of all names", measure: "rate", goals: { 1: 8, 16: 6 } },
  // Linux asks for 64 KiB to 1 MiB, by how far it reads ahead; the goal is that of the larger.
  { name: "read64k", title: "sequential READ, 64 KiB", measure: "bytes", goals: { 1: 1.35, 16: 1.6 } },
  { name: "seqread", title: "sequential READ", measure: "bytes", goals: { 1: 1.35, 16: 1.6 } },
  { name: "seqwrite", title: "sequential WRITE", measure: "bytes", goals: { 1: 1.5, 16: 1.6 } },
  { name: "create", title: "create, write, commit", measure: "rate", goals: { 1: 2, 16: 5 } },
  { name: "remove", title: "remove", measure: "rate", goals: { 1: 2.5, 16: 6 } },
  { name: "write-lower", title: "first write, large lower file", measure: "time", goals: { 1: 500 } },
  { name: "chmod-lower", title: "chmod, half as large", measure: "time", goals: { 1: 500 } },
];

/** What is measured on a disk: only there does syncing cost anything. */
export const diskRows = rows.filter(({ name }) => name === "create" || name === "remove");

/** How much there is to serve. */
export interface DataSize {
  readonly names: number;
  readonly dataBytes: number;
  readonly bigBytes: number;
}

const mebibyte = 2 ** 20;
export const fullSize: DataSize = { names: 10_000, dataBytes: 256 * mebibyte, bigBytes: 1024 * mebibyte };
export const quickSize: DataSize = { names: 2_000, dataBytes: 64 * mebibyte, bigBytes: 128 * mebibyte };

/**
 * Where and how both servers run. `isPinned`: server and client share one core. `peerSyncs`: the peer's file system makes every change of
 * a directory synchronous, as ours does by itself; not where it is `unsafeAsync`.
 */
export interface Condition {
  readonly name: "tmpfs, one core" | "tmpfs, all cores" | "disk, both sync" | "disk, peer async" | "disk, both async";
  readonly storage: "tmpfs" | "disk";
  readonly peerSyncs: boolean;
  readonly unsafeAsync?: boolean;
  readonly isPinned: boolean;
  readonly rows: readonly Row[];
}

export const conditions: readonly Condition[] = [
  { name: "tmpfs, one core", storage: "tmpfs", peerSyncs: false, isPinned: true, rows },
  { name: "tmpfs, all cores", storage: "tmpfs", peerSyncs: false, isPinned: false, rows },
  { name: "disk, both sync", storage: "disk", peerSyncs: true, isPinned: true, rows: diskRows },
  { name: "disk, peer async", storage: "disk", peerSyncs: false, isPinned: true, rows: diskRows },
  {
    name: "disk, both async",
    storage: "disk",
    peerSyncs: false,
    unsafeAsync: true,
    isPinned: true,
    rows: diskRows,
  },
];

export const severalRow = "several";
export const severalCondition = "several exports";

/** What of several-exports.ts runs where. */
export interface Arrangement {
  readonly name: string;
  /** 0: without a file server, one export in one process, as before there were several workers. */
  readonly workers: 0 | 1 | 2;
  /** The exports that are loaded, and the core of each one's load. */
  readonly loads: readonly { readonly export: 0 | 1; readonly core: 0 | 1 }[];
  /** By worker. */
  readonly cores: readonly (0 | 1)[];
}

const here = (id: 0 | 1, core: 0 | 1) => ({ export: id, core });
/** The first is what the others are compared with. */
export const arrangements: readonly Arrangement[] = [
  { name: "1 export, alone in its process; 1 core", workers: 0, loads: [here(0, 0)], cores: [0] },
  { name: "1 export, first worker; 1 core", workers: 1, loads: [here(0, 0)], cores: [0] },
  { name: "1 export, second worker; 1 core", workers: 2, loads: [here(1, 0)], cores: [1, 0] },
  { name: "2 exports, 1 worker; 1 core", workers: 1, loads: [here(0, 0), here(1, 0)], cores: [0] },
  { name: "2 exports, 1 worker; loads on a 2nd core", workers: 1, loads: [here(0, 1), here(1, 1)], cores: [0] },
  { name: "2 exports, 2 workers; 2 cores", workers: 2, loads: [here(0, 0), here(1, 1)], cores: [0, 1] },
];

/** What the command asks of the process inside the namespaces. */
export interface Assignment {
  /** Where data, journals and logs go: a directory on disk, over which a tmpfs may be mounted. */
  readonly directory: string;
  readonly size: DataSize;
  readonly conditions: readonly Condition[];
  readonly rows: readonly string[];
  readonly repetitions: number;
  readonly seconds: number;
  /** Where our server's profiles go; profiled runs are slower. */
  readonly profile: string | undefined;
}

export interface Measurement {
  readonly condition: string;
  readonly row: string;
  readonly depth: number;
  readonly server: string;
  readonly repetition: number;
  readonly units: number;
  readonly bytes: number;
  readonly seconds: number;
  /** Of the server, user and system. */
  readonly processorSeconds: number;
}
