import type { Piece } from "../../cowfs/trees/tree.ts";

/** Where importers and sealers put file content, and learn which chunks it became: a Publication is one. */
export interface ContentSink {
  /** Cuts, hashes and stores a file's content; settles when the pieces may be named in a tree. */
  addContent(content: Buffer | AsyncIterable<Buffer>): Promise<Piece[]>;
}
