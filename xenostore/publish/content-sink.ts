import type { Piece } from "../../cowfs/trees/tree.ts";

/** Where importers and sealers put file content, and learn which chunks it became: a Publication is one. */
export interface ContentSink {
  /** Cuts, hashes and stores a file's content; settles when the pieces may be named in a tree. */
  addContent(content: Buffer | AsyncIterable<Buffer>): Promise<Piece[]>;
}

/** One that knows what it need not be given again. */
export interface KnowingSink extends ContentSink {
  /** Whether a chunk may be named without being added. */
  holds(hash: string): boolean;
  /**
   * As `addContent` for what follows a cut within a longer content, until a chunk ends at an offset of it that `endsAt` takes,
   * or the content ends.
   */
  addPart(content: AsyncIterable<Buffer>, endsAt: (offset: number) => boolean): Promise<Piece[]>;
}
