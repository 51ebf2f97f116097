/**
 * The `.mount` file: which file systems are overlaid at the directory that holds it, strongest first (DESIGN 4).
 *
 *     # comment
 *     .
 *     ro template://Debian/12/current
 *
 * `.` is the file system that holds the file; where it is absent it comes first. Bounds: 64 KiB, 32 lines that name a
 * layer, 4,096 bytes a line.
 */
import { XenoError } from "../errors.ts";

export const mountFileName = ".mount";
export const maxMountFileBytes = 64 * 1024;
const maxLayers = 32;
const maxLineBytes = 4096;

export interface MountLine {
  readonly url: string;
  /** Counted from 1, for messages. */
  readonly line: number;
}

/**
 * The layers below `.`, strongest first. `text` holds the file's bytes, one per char. Throws `mount-malformed` with file, line and
 * reason; `path` is for messages.
 */
export function parseMountFile(text: string, path: string): MountLine[] {
  const layers: MountLine[] = [];
  const fail = (line: number, reason: string): never => {
    throw new XenoError("mount-malformed", `${path}:${line}: ${reason}`, {
      hint: "Each line is '.', or a URL with 'ro' before it, such as: ro template://Debian/12/current",
    });
  };
  if (text.length > maxMountFileBytes) fail(1, `the file is larger than ${maxMountFileBytes} bytes`);
  let sawSelf = false;
  for (const [index, raw] of text.split("\n").entries()) {
    const number = index + 1;
    if (raw.length > maxLineBytes) fail(number, `the line is longer than ${maxLineBytes} bytes`);
    const line = raw.replace(/\r$/, "").trim();
    if (line === "" || line.startsWith("#")) continue;
    const words = line.split(/\s+/);
    if (words.length === 1 && words[0] === ".") {
      if (sawSelf) fail(number, "'.' stands twice");
      if (layers.length > 0)
        fail(number, "'.' must come first: layers stronger than the one that holds .mount are not supported yet");
      sawSelf = true;
      continue;
    }
    const access = words.length > 1 ? words.shift() : "ro";
    if (access !== "ro" && access !== "rw") fail(number, `'${access}' is neither ro nor rw`);
    if (words.length !== 1) fail(number, "more than one URL on a line");
    const url = words[0];
    if (!/^[a-z][a-z0-9+.-]*:\/\/[\x21-\x7e]+$/.test(url)) fail(number, `'${url}' is not a URL`);
    if (access === "rw") fail(number, `'${url}' cannot be written: only the journal is writable`);
    layers.push({ url, line: number });
    if (layers.length > maxLayers) fail(number, `more than ${maxLayers} layers`);
  }
  return layers;
}
