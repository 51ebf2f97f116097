/**
 * The `.mount` file: which file systems are overlaid at the directory that holds it, strongest first (DESIGN 4).
 *
 *     # comment
 *     ro template://Service/settings
 *     .
 *     ro template://Debian/12/current
 *
 * `.` is the file system that holds the file; where it is absent it comes first. `ro` is meant where neither `ro` nor
 * `rw` stands. Bounds: 64 KiB, 32 lines that name a layer, 4,096 bytes a line.
 */
import { XenoError } from "../errors.ts";

export const mountFileName = ".mount";
export const maxMountFileBytes = 64 * 1024;
const maxLayers = 32;
const maxLineBytes = 4096;

export interface MountLine {
  readonly url: string;
  /** `rw`: the layer is asked to take writes. */
  readonly isWritable: boolean;
  /** Counted from 1, for messages. */
  readonly line: number;
}

export interface MountLines {
  /** Before `.`, strongest first. */
  readonly stronger: readonly MountLine[];
  /** After it. */
  readonly weaker: readonly MountLine[];
}

/**
 * The layers over and below `.`. `text` holds the file's bytes, one per char. Throws `mount-malformed` with file, line
 * and reason; `path` is for messages.
 */
export function parseMountFile(text: string, path: string): MountLines {
  const lines: MountLine[] = [];
  let stronger: MountLine[] | undefined;
  const fail = (line: number, reason: string): never => {
    throw new XenoError("mount-malformed", `${path}:${line}: ${reason}`, {
      hint: "Each line is '.', or a URL with 'ro' before it, such as: ro template://Debian/12/current",
    });
  };
  if (text.length > maxMountFileBytes) fail(1, `the file is larger than ${maxMountFileBytes} bytes`);
  for (const [index, raw] of text.split("\n").entries()) {
    const number = index + 1;
    if (raw.length > maxLineBytes) fail(number, `the line is longer than ${maxLineBytes} bytes`);
    const line = raw.replace(/\r$/, "").trim();
    if (line === "" || line.startsWith("#")) continue;
    const words = line.split(/\s+/);
    if (words.length === 1 && words[0] === ".") {
      if (stronger !== undefined) fail(number, "'.' stands twice");
      stronger = lines.splice(0);
      continue;
    }
    const access = words.length > 1 ? words.shift() : "ro";
    if (access !== "ro" && access !== "rw") fail(number, `'${access}' is neither ro nor rw`);
    if (words.length !== 1) fail(number, "more than one URL on a line");
    const url = words[0];
    if (url === ".") fail(number, "'.' stands alone: what it may write is not for .mount to say");
    if (!/^[a-z][a-z0-9+.-]*:\/\/[\x21-\x7e]+$/.test(url)) fail(number, `'${url}' is not a URL`);
    lines.push({ url, isWritable: access === "rw", line: number });
    if (lines.length + (stronger?.length ?? 0) > maxLayers) fail(number, `more than ${maxLayers} layers`);
  }
  return { stronger: stronger ?? [], weaker: lines };
}
