/**
 * How a template was imported, so that `xeno template update` can do it again: a small file for each name, in the state of
 * the operator who imported it. It names what lies on that machine, so it goes nowhere else.
 */
import { randomUUID } from "node:crypto";
import fs from "node:fs/promises";
import path from "node:path";
import { Type } from "typebox";
import { Check } from "typebox/value";
import { XenoError } from "../../cowfs/errors.ts";

const Recipe = Type.Object({
  format: Type.Literal(1),
  debian: Type.Optional(Type.String()),
  variant: Type.Optional(Type.Union([Type.Literal("minbase"), Type.Literal("standard")])),
  tar: Type.Optional(Type.String()),
  oci: Type.Optional(Type.String()),
  image: Type.Optional(Type.String()),
  directory: Type.Optional(Type.String()),
  kernel: Type.Optional(Type.Union([Type.String(), Type.Literal(true)])),
  key: Type.String(),
});

/** The source and its choices, as `xeno template import` takes them; paths are absolute. */
export interface ImportRecipe {
  readonly debian?: string;
  readonly variant?: "minbase" | "standard";
  readonly tar?: string;
  readonly oci?: string;
  readonly image?: string;
  readonly directory?: string;
  readonly kernel?: string | true;
  /** The name of the key that signs. */
  readonly key: string;
}

/** `directory` holds the recipes; `name` is a template's, such as `Debian/12`. */
export async function saveRecipe(directory: string, name: string, recipe: ImportRecipe): Promise<void> {
  const { debian, variant, tar, oci, image, directory: from, kernel, key } = recipe;
  const absolute = (file: string | undefined) => (file === undefined ? undefined : path.resolve(file));
  const kept = { tar: absolute(tar), oci: absolute(oci), directory: absolute(from) };
  const file = fileOf(directory, name);
  const temporary = `${file}.${randomUUID()}`;
  await fs.mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
  const text = `${JSON.stringify({ format: 1, debian, variant, image, kernel, key, ...kept })}\n`;
  await fs.writeFile(temporary, text, { mode: 0o600, flush: true });
  await fs.rename(temporary, file);
}

/** Throws `recipe-missing`. */
export async function readRecipe(directory: string, name: string): Promise<ImportRecipe> {
  let value: unknown;
  try {
    value = JSON.parse(await fs.readFile(fileOf(directory, name), "utf8"));
  } catch {}
  if (Check(Recipe, value)) return value;
  throw new XenoError("recipe-missing", `how ${name} was imported is not known here`, {
    hint: `Import it again and say from what: xeno template import ${name} --help`,
  });
}

/** A name's components begin with no dot, so that no name's file is in the way of another's folder. */
function fileOf(directory: string, name: string): string {
  return path.join(directory, name, ".import.json");
}
