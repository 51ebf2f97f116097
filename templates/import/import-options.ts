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
