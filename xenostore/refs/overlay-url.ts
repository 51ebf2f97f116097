/**
 * How overlays are called: `xenostore://OWNER/NAME[@VERSION]`, as in `xenostore://demo/apache@3`. Without a version it
 * is the owner's newest.
 */
import { XenoError } from "../../cowfs/errors.ts";
import { currentVersion, refKey } from "./ref.ts";

export interface OverlayName {
  readonly owner: string;
  readonly name: string;
  readonly version: string;
}

export const overlayScheme = "xenostore://";

/** Throws `overlay-name` saying what is wrong with the text. */
export function parseOverlayUrl(text: string): OverlayName {
  const match = /^xenostore:\/\/([^/@]+)\/([^@]+?)(?:@([^@/]+))?$/.exec(text);
  if (match === null)
    throw new XenoError("overlay-name", `${JSON.stringify(text.slice(0, 200))} names no overlay`, {
      hint: "an overlay is xenostore://OWNER/NAME or xenostore://OWNER/NAME@VERSION",
    });
  const [, owner, name, version = currentVersion] = match;
  refKey(owner, name, version);
  return { owner, name, version };
}

export function formatOverlayUrl({ owner, name, version }: OverlayName): string {
  return `${overlayScheme}${owner}/${name}${version === currentVersion ? "" : `@${version}`}`;
}
