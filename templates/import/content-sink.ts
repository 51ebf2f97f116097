import type { Piece } from "../../cowfs/trees/tree.ts";

/** What an importer needs of a Publication (xenostore/publish): a place that takes file content and says which chunks it became. */
export interface ContentSink {
  /** Cuts, hashes and stores a file's content; settles when the pieces may be named in a tree. */
  addContent(content: Buffer | AsyncIterable<Buffer>): Promise<Piece[]>;
}

/** How far an import is. Reported at most a few times a second, and once at the end. */
export interface ImportProgress {
  /** What goes on now, for people: "installing packages", "usr/share/doc". */
  readonly step: string;
  readonly files: number;
  /** Bytes of file content so far. */
  readonly bytes: number;
}

export interface ImportOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: ImportProgress) => void;
  /** Refuse a source that is an archive of more bytes than this, unpacked; default 64 GiB. */
  readonly maxBytes?: number;
  /** Refuse a source with more files, directories and links than this; default 4 million. */
  readonly maxMembers?: number;
}

export const defaultMaxBytes = 64 * 2 ** 30;
export const defaultMaxMembers = 4_000_000;
