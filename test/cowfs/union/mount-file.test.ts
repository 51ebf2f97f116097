import test from "ava";
import { XenoError } from "../../../cowfs/errors.ts";
import { parseMountFile } from "../../../cowfs/union/mount-file.ts";

const accepted: readonly (readonly [text: string, layers: string[]])[] = [
  ["", ["."]],
  [".", ["."]],
  ["\n\n  # only a comment\n", ["."]],
  [".\nro template://Debian/12/current\n", [".", "template://Debian/12/current"]],
  ["template://Debian/12/current", [".", "template://Debian/12/current"]],
  ["  .  \r\n\tro   xenostore://me/app@3\t\r\n# end", [".", "xenostore://me/app@3"]],
  ["a://1\nb://2\na://1", [".", "a://1", "b://2", "a://1"]],
  ["a://1\n.", ["a://1", "."]],
  ["a://1\nro b://2\n.\nrw c://3", ["a://1", "b://2", ".", "rw c://3"]],
  ["rw a://b", [".", "rw a://b"]],
];

for (const [text, layers] of accepted)
  test(`${JSON.stringify(text)} lays ${layers.join(" over ")}`, (t) => {
    const { stronger, weaker } = parseMountFile(text, "/.mount");
    const show = (lines: typeof weaker) => lines.map(({ url, isWritable }) => (isWritable ? `rw ${url}` : url));
    t.deepEqual([...show(stronger), ".", ...show(weaker)], layers);
  });

const refused: readonly (readonly [what: string, text: string, line: number, reason: RegExp])[] = [
  ["a word that is no URL", ".\nDebian", 2, /'Debian' is not a URL/],
  ["a URL without a path", "\n\nro template://", 3, /not a URL/],
  ["an unknown access", "wo a://b", 1, /'wo' is neither ro nor rw/],
  ["two URLs on a line", "ro a://b c://d", 1, /more than one URL/],
  ["a word before `.`", "rw .", 1, /'\.' stands alone/],
  ["`.` twice", ".\n.", 2, /stands twice/],
  ["`.` twice around a layer", ".\na://b\n.", 3, /stands twice/],
  ["bytes that are not ASCII in a URL", "a://\xff", 1, /not a URL/],
  ["a control character", "a://b\0c", 1, /not a URL/],
  ["a line that is too long", `#${"x".repeat(5000)}`, 1, /longer than 4096/],
  ["too many layers", Array.from({ length: 33 }, (_, index) => `a://${index}`).join("\n"), 33, /more than 32/],
  [
    "too many layers around `.`",
    [...Array.from({ length: 20 }, (_, index) => `a://${index}`), ".", ...Array(13).fill("b://c")].join("\n"),
    34,
    /more than 32/,
  ],
  ["a file that is too large", "\n".repeat(65_537), 1, /larger than 65536/],
];

for (const [what, text, line, reason] of refused)
  test(`${what} is refused with the file, the line and the reason`, (t) => {
    const error = t.throws(() => parseMountFile(text, "/srv/.mount"), {
      instanceOf: XenoError,
      code: "mount-malformed",
      message: reason,
    });
    t.true(error.message.startsWith(`/srv/.mount:${line}: `), error.message);
    t.truthy(error.hint);
  });
