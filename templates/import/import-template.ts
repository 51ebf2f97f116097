/**
 * From a source to a published template: read into nodes, content into the store, a signed ref last.
 *
 * Objects are named by their hashes and nothing names the tree before the ref does, so an import that is interrupted
 * leaves no half template; the next one sends only what the store lacks.
 */
import { encodeTree } from "../../cowfs/trees/encode.ts";
import type { TreeNode } from "../../cowfs/trees/node.ts";
import type { SigningKey } from "../../xenostore/keys/key-ring.ts";
import type { ContentSink } from "../../xenostore/publish/content-sink.ts";
import { findWhole } from "../../xenostore/publish/present.ts";
import { beginPublication, type Published } from "../../xenostore/publish/publication.ts";
import { readCurrent } from "../../xenostore/publish/write-ref.ts";
import { findTemplate, type NameTable, templateOwner } from "../names/name-table.ts";
import { formatTemplateName } from "../names/template-name.ts";
import { type DebianImportOptions, importDebian } from "./debian/import-debian.ts";
import { importDirectory } from "./import-directory.ts";
import type { ImportOptions } from "./import-options.ts";
import { importTar } from "./import-tar.ts";
import { importImage } from "./oci/import-image.ts";
import { openArchive } from "./open-archive.ts";

export type TemplateSource =
  | { readonly kind: "debian"; readonly release: string; readonly variant?: DebianImportOptions["variant"] }
  | { readonly kind: "tar"; readonly file: string; readonly ociWhiteouts?: boolean }
  | { readonly kind: "image"; readonly directory: string; readonly name?: string }
  | { readonly kind: "directory"; readonly directory: string };

export interface TemplateImport extends ImportOptions {
  /** Where it is published; a `current` of the same name is the ancestor whose chunks are not sent again. */
  readonly table: NameTable;
  /** Must be trusted for the owner `templates` by those who will use it. */
  readonly key: SigningKey;
  /** `Debian/12` */
  readonly name: string;
  /** Default: the date of the newest file and the beginning of the tree's id, so that the same tree is the same version. */
  readonly version?: string;
}

export interface ImportedTemplate extends Published {
  /** `template://Debian/12/20260101-1f3a9c02` */
  readonly url: string;
  /** Inodes: files, directories, links and the rest, each once. */
  readonly files: number;
  /** Of content, hard-linked files once. */
  readonly bytes: number;
}

/** Throws what the source's importer throws, or what publishing throws. */
export async function importTemplate(source: TemplateSource, wanted: TemplateImport): Promise<ImportedTemplate> {
  const { table, key, name, signal } = wanted;
  const current = formatTemplateName({ kind: "named", name, version: "current" });
  const previous = await findTemplate(table, current);
  const replaces = await readCurrent(table.store, { owner: templateOwner, name }, key, { signal });
  const ancestors = previous === undefined ? [] : [previous.layout];
  const publication = await beginPublication(table.store, { ancestors, signal });
  const root = await readSource(source, publication, wanted);
  const { files, bytes, newestSeconds } = measure(root);
  const { id } = encodeTree(root);
  const version = wanted.version ?? nameVersion(newestSeconds, id);
  // The same tree again: who reads it by an earlier pack map still may (lay-out-trace.ts, Y3).
  const keeps = previous?.tree === id ? await findWhole(table.store, previous.keeps ?? [], signal) : undefined;
  wanted.onProgress?.({ step: "publishing", files, bytes });
  const published = await publication.commit(root, { owner: templateOwner, name, version, key, keeps, replaces });
  return { ...published, url: formatTemplateName({ kind: "named", name, version }), files, bytes };
}

async function readSource(source: TemplateSource, sink: ContentSink, options: ImportOptions): Promise<TreeNode> {
  switch (source.kind) {
    case "debian":
      return importDebian(source.release, sink, { ...options, variant: source.variant });
    case "tar":
      return importTar(await openArchive(source.file, options.signal), sink, {
        ...options,
        ociWhiteouts: source.ociWhiteouts,
      });
    case "image":
      return importImage(source, sink, options);
    case "directory":
      return importDirectory(source.directory, sink, options);
  }
}

function measure(root: TreeNode): { files: number; bytes: number; newestSeconds: number } {
  const seen = new Set<TreeNode>();
  const waiting: TreeNode[] = [root];
  let bytes = 0;
  let newestSeconds = 0;
  for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
    if (seen.has(node)) continue;
    seen.add(node);
    bytes += node.size;
    newestSeconds = Math.max(newestSeconds, node.modified.seconds);
    for (const child of node.children?.values() ?? []) if (child !== "whiteout") waiting.push(child);
  }
  return { files: seen.size, bytes, newestSeconds };
}

/** A tarball's times are anybody's: what is no date of four-digit years counts as the first second. */
function nameVersion(newestSeconds: number, id: string): string {
  const date = new Date(Math.min(newestSeconds, Date.UTC(9999, 0) / 1000) * 1000);
  return `${date.toISOString().slice(0, 10).replaceAll("-", "")}-${id.slice(0, 8)}`;
}
