/**
 * What a live layer's files are asked for: a host directory (../host/), a remote NFS server (../nfs/), or one of them in a
 * process of its own (process.ts).
 *
 * Everything may take long, fail, and be different the next time. Rejections are FileSystemErrors, the answer of the
 * file system itself, or XenoErrors: there is none. ESTALE: the place no longer holds the object.
 */
import type { AttributeChange, Name, Time } from "../../file-system.ts";

/** An object as it was found: `path` from the layer's root, and what tells it from any other that may lie there. */
export interface LivePlace {
  readonly path: readonly Name[];
  /** Bytes, one per char; at most `maxIdentityBytes`. */
  readonly identity: string;
}

export const maxIdentityBytes = 128;
/** A directory with more names than this cannot be listed; what is in it can be looked up. */
export const maxListedNames = 100_000;
/** OCI image specification, "Whiteouts": `.wh.NAME` hides NAME in weaker layers, `.wh..wh..opq` all that they hold. */
export const whiteoutPrefix = ".wh.";
export const opaqueName = ".wh..wh..opq";

export interface LiveAttributes {
  readonly mode: number;
  readonly links: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly used: number;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  readonly accessed: Time;
  readonly modified: Time;
  readonly changed: Time;
}

export interface LiveObject {
  readonly identity: string;
  readonly attributes: LiveAttributes;
}

/** What a name means; `"whiteout"`: nothing, and nothing in weaker layers either. */
export type LiveFound = LiveObject | "whiteout" | undefined;

export interface LiveListing {
  readonly entries: readonly { readonly name: Name; readonly object: LiveObject | "whiteout" }[];
}

export interface LiveContent {
  readonly data: Buffer;
  readonly attributes: LiveAttributes;
}

/** A change that is made at once and durable when it is answered. */
export type LiveChange =
  | {
      readonly kind: "write";
      readonly file: LivePlace;
      readonly offset: number;
      readonly data: Buffer;
      /** Permissions that it leaves, where writing takes set-ID bits away. */
      readonly mode?: number;
    }
  | { readonly kind: "set"; readonly object: LivePlace; readonly change: AttributeChange }
  | {
      readonly kind: "create";
      readonly directory: LivePlace;
      readonly name: Name;
      /** One of the S_IFMT bits, and permissions. */
      readonly mode: number;
      readonly uid: number;
      readonly gid: number;
      /** Of a symbolic link. */
      readonly target: Name;
    }
  | { readonly kind: "remove"; readonly directory: LivePlace; readonly name: Name; readonly isDirectory: boolean }
  | {
      readonly kind: "rename";
      readonly from: LivePlace;
      readonly fromName: Name;
      readonly to: LivePlace;
      readonly toName: Name;
    }
  | { readonly kind: "link"; readonly object: LivePlace; readonly directory: LivePlace; readonly name: Name };

export interface LiveFiles {
  root(signal: AbortSignal): Promise<LiveObject>;
  find(directory: LivePlace, name: Name, signal: AbortSignal): Promise<LiveFound>;
  /** Whether a directory hides all that weaker layers hold. */
  isOpaque(directory: LivePlace, signal: AbortSignal): Promise<boolean>;
  /** ENOTSUP for more than `maxListedNames`. */
  list(directory: LivePlace, signal: AbortSignal): Promise<LiveListing>;
  attributes(object: LivePlace, signal: AbortSignal): Promise<LiveAttributes>;
  /** At most `length` bytes, fewer at the end, and attributes that were true no earlier than the bytes. */
  read(file: LivePlace, offset: number, length: number, signal: AbortSignal): Promise<LiveContent>;
  readLink(link: LivePlace, signal: AbortSignal): Promise<Name>;
  /** What was made or changed, as it is now. EROFS where the layer is read-only, ENOTSUP for what it cannot do. */
  change(change: LiveChange, signal: AbortSignal): Promise<LiveObject | undefined>;
}

/** Files that somebody opened for a layer. */
export interface LiveSource {
  /** What the journal records: the same text means the same files. */
  readonly id: string;
  readonly isLive: true;
  readonly isWritable: boolean;
  readonly files: LiveFiles;
}
