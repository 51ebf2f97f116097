/**
 * How templates are called.
 *
 *     template://NAME/VERSION    template://Debian/12/current    the last component is the version, `current` the newest
 *     template://blake3:HASH     64 hex digits                   one tree, whatever it is called
 *
 * Components are letters, digits and `. _ + ~ -`, and begin with a letter or a digit; a name has one to eight.
 */
import { XenoError } from "../../cowfs/errors.ts";

export type TemplateName =
  | { readonly kind: "named"; readonly name: string; readonly version: string }
  | { readonly kind: "id"; readonly id: string };

const scheme = "template://";
const maxComponents = 9;
const component = /^[A-Za-z0-9][A-Za-z0-9._+~-]{0,99}$/;
const shape = "a template is template://NAME/VERSION, as in template://Debian/12/current, or template://blake3:HASH";

/** Throws `template-name` saying what is wrong with the text. */
export function parseTemplateName(text: string): TemplateName {
  const refuse = (reason: string) =>
    new XenoError("template-name", `${JSON.stringify(text.slice(0, 200))} names no template: ${reason}`, {
      hint: shape,
    });
  if (!text.startsWith(scheme)) throw refuse(`it does not begin with ${scheme}`);
  const path = text.slice(scheme.length);
  if (path.startsWith("blake3:")) {
    const id = path.slice("blake3:".length);
    if (!/^[0-9a-f]{64}$/.test(id)) throw refuse("what follows blake3: is not 64 lower-case hex digits");
    return { kind: "id", id };
  }
  const components = path.split("/");
  const bad = components.find((part) => !component.test(part));
  if (bad !== undefined) throw refuse(`${JSON.stringify(bad.slice(0, 100))} cannot be a part of a name`);
  if (components.length < 2) throw refuse("it has no version");
  if (components.length > maxComponents) throw refuse(`it has more than ${maxComponents} parts`);
  return { kind: "named", name: components.slice(0, -1).join("/"), version: components[components.length - 1] };
}

export function formatTemplateName(template: TemplateName): string {
  return scheme + (template.kind === "id" ? `blake3:${template.id}` : `${template.name}/${template.version}`);
}
