import test from "ava";
import { findNearNames } from "../../../templates/names/near-names.ts";
import { formatTemplateName, parseTemplateName } from "../../../templates/names/template-name.ts";

const hash = "0123456789abcdef".repeat(4);

test("names are read and written back the same", (t) => {
  const names = {
    "template://Debian/12/current": { kind: "named", name: "Debian/12", version: "current" },
    "template://a/b": { kind: "named", name: "a", version: "b" },
    "template://1/2/3/4/5/6/7/8/v~1+b_2.3-4": { kind: "named", name: "1/2/3/4/5/6/7/8", version: "v~1+b_2.3-4" },
    [`template://blake3:${hash}`]: { kind: "id", id: hash },
  } as const;
  for (const [text, name] of Object.entries(names)) {
    t.deepEqual(parseTemplateName(text), name);
    t.is(formatTemplateName(name), text);
  }
});

test("what is no name is refused with the reason and the shape of one", (t) => {
  const refused: [string, RegExp][] = [
    ["Debian/12/current", /does not begin with template:/],
    ["xenostore://a/b", /does not begin with template:/],
    ["template://Debian", /no version/],
    ["template://", /"" cannot be a part/],
    ["template://Debian//current", /"" cannot be a part/],
    ["template://Debian/../current", /"\.\." cannot be a part/],
    ["template://Debian/12/current/", /"" cannot be a part/],
    ["template://Debian/1 2/current", /"1 2" cannot be a part/],
    ["template://Debian@12/current", /cannot be a part/],
    [`template://${"a/".repeat(9)}b`, /more than 9 parts/],
    [`template://${"a".repeat(101)}/b`, /cannot be a part/],
    ["template://blake3:0123", /64 lower-case hex/],
    [`template://blake3:${hash.toUpperCase()}`, /64 lower-case hex/],
    [`template://blake3:${hash}/x`, /64 lower-case hex/],
  ];
  for (const [text, message] of refused) {
    const error = t.throws(() => parseTemplateName(text), { code: "template-name", message }, text) as Error & {
      hint?: string;
    };
    t.regex(error.hint ?? "", /template:\/\/NAME\/VERSION/);
  }
});

test("near names are those a slip or a missing version away", (t) => {
  const known = ["template://Debian/12/current", "template://Debian/13/current", "template://Alpine/3/current"];
  t.deepEqual(findNearNames("template://debain/12/current", known)[0], known[0]);
  t.deepEqual(findNearNames("template://Debian/12", known)[0], known[0]);
  t.deepEqual(findNearNames("template://Fedora/40/stable", known), []);
  t.is(findNearNames("template://Debian/1/current", known).length, 3 - 1);
});
