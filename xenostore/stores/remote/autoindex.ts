/** Lists of files as nginx's ngx_http_autoindex_module writes them with `autoindex_format json`. */
import { Type } from "typebox";
import { Check } from "typebox/value";

const Entries = Type.Array(Type.Object({ name: Type.String(), type: Type.String() }));

export interface FolderEntry {
  readonly name: string;
  readonly isFolder: boolean;
}

/** Undefined where the text is no such list. Entries that no store makes are left out. */
export function parseAutoindex(text: string): FolderEntry[] | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!Check(Entries, parsed)) return undefined;
  return parsed
    .filter(({ name, type }) => /^[A-Za-z0-9._~+@-]{1,200}$/.test(name) && (type === "file" || type === "directory"))
    .map(({ name, type }) => ({ name, isFolder: type === "directory" }));
}
