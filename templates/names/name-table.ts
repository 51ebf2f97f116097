/**
 * The name table: what the owner `templates` signed in a store. A name resolves to a tree only through it, and so does
 * a hash, or `template://blake3:…` would name anyone's private tree.
 */
import { XenoError } from "../../cowfs/errors.ts";
import type { Trust } from "../../xenostore/keys/key-ring.ts";
import { listRefs, type ResolveOptions, resolveId, resolveRef } from "../../xenostore/pull/resolve-ref.ts";
import { currentVersion, type Ref } from "../../xenostore/refs/ref.ts";
import type { ObjectStore } from "../../xenostore/stores/object-store.ts";
import { findNearNames } from "./near-names.ts";
import { formatTemplateName, parseTemplateName } from "./template-name.ts";

/** Who signs templates, in every store. */
export const templateOwner = "templates";

export interface NameTable {
  readonly store: ObjectStore;
  /** Whose signatures count for the owner `templates`. */
  readonly trust: Trust;
  readonly options?: ResolveOptions;
}

export interface ListedTemplate {
  /** `template://Debian/12/20260101-1f3a9c02` */
  readonly url: string;
  readonly name: string;
  readonly version: string;
  /** What it resolves to; undefined when `problem` says why it cannot be believed. */
  readonly ref?: Ref;
  readonly problem?: XenoError;
  /** True for the version that `current` means. */
  readonly isCurrent: boolean;
}

/** Bounds what a hostile store can make us verify. */
const maxListed = 10_000;

/**
 * The tree that a `template://` URL means. Throws `template-name`, `template-unknown` (with near names), what
 * `resolveRef` throws for a ref that cannot be believed, or what the store throws.
 */
export async function resolveTemplate(table: NameTable, url: string): Promise<Ref> {
  const wanted = parseTemplateName(url);
  if (wanted.kind === "id") return await findById(table, wanted.id);
  try {
    return await resolveRef(table.store, table.trust, templateOwner, wanted.name, wanted.version, table.options);
  } catch (error) {
    if (!(error instanceof XenoError && error.code === "ref-missing")) throw error;
    throw await describeUnknown(table, url, error);
  }
}

/** Like `resolveTemplate`, but undefined where there is no such template. */
export async function findTemplate(table: NameTable, url: string): Promise<Ref | undefined> {
  try {
    return await resolveTemplate(table, url);
  } catch (error) {
    if (error instanceof XenoError && error.code === "template-unknown") return undefined;
    throw error;
  }
}

/** Every version of every template, by name, without the `current` copies. */
export async function listTemplates(table: NameTable): Promise<ListedTemplate[]> {
  const names = await listNames(table);
  const currents = new Map<string, string>();
  for (const { name, version } of names) {
    if (version !== currentVersion) continue;
    const { ref } = await tryResolve(table, name, version);
    if (ref !== undefined) currents.set(name, ref.version);
  }
  const listed: ListedTemplate[] = [];
  for (const { name, version } of names) {
    if (version === currentVersion) continue;
    const url = formatTemplateName({ kind: "named", name, version });
    const isCurrent = currents.get(name) === version;
    listed.push({ url, name, version, isCurrent, ...(await tryResolve(table, name, version)) });
  }
  return listed;
}

async function findById(table: NameTable, id: string): Promise<Ref> {
  const known = await resolveId(table.store, table.trust, templateOwner, id, table.options);
  if (known !== undefined) return known;
  for (const { name, version } of await listNames(table)) {
    const { ref } = await tryResolve(table, name, version);
    if (ref?.tree === id) return ref;
  }
  throw new XenoError("template-unknown", `${formatTemplateName({ kind: "id", id })} is not in the name table`, {
    hint: "only trees that a trusted key signed as a template can be named by their hash; see `xeno template ls`",
  });
}

/** A ref that cannot be believed is listed with the reason; a store that cannot be read is an error. */
async function tryResolve(
  table: NameTable,
  name: string,
  version: string,
): Promise<{ ref?: Ref; problem?: XenoError }> {
  try {
    return { ref: await resolveRef(table.store, table.trust, templateOwner, name, version, table.options) };
  } catch (error) {
    if (error instanceof XenoError && error.code.startsWith("ref-")) return { problem: error };
    throw error;
  }
}

async function listNames(table: NameTable): Promise<{ name: string; version: string }[]> {
  return (await listRefs(table.store, templateOwner)).slice(0, maxListed);
}

async function describeUnknown(table: NameTable, url: string, cause: XenoError): Promise<XenoError> {
  const known = (await listNames(table)).map((named) => formatTemplateName({ kind: "named", ...named }));
  const near = findNearNames(url, known);
  const hint =
    known.length === 0
      ? `${table.store.name} has no templates yet; \`xeno template import\` makes one`
      : near.length > 0
        ? `did you mean ${near.join(" or ")}?`
        : "`xeno template ls` lists those that there are";
  return new XenoError("template-unknown", `there is no ${url} in ${table.store.name}`, { hint, cause });
}
