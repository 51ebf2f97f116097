/**
 * The papers' XML document. The sender is a stranger: no DOCTYPE, so no entities of any kind, no more than 64 KiB, no deeper than
 * 8 elements; all of that is known before the schema's validator sees it.
 */
import { readFile } from "node:fs/promises";
import { XMLParser, XMLValidator } from "fast-xml-parser";
import { validateXML } from "xmllint-wasm";
import { checkRequirements, invalid, type Requirements } from "./requirements.ts";

const schemaFile = new URL("environmental-requirements.xsd", import.meta.url);
const maxBytes = 64 * 1024;
const maxDepth = 8;
/** Of the validator, in pages of 64 KiB. */
const memoryPages = 512;

/** Throws `requirements-invalid`. */
export async function readRequirementsXml(text: string): Promise<Requirements> {
  if (Buffer.byteLength(text) > maxBytes) throw invalid(`they have more than ${maxBytes} bytes`);
  if (/<!/.test(text.replace(/<!--.*?-->/gs, ""))) throw invalid("a DOCTYPE or CDATA is not taken");
  const document = parse(text);
  const schema = await readFile(schemaFile, "utf8");
  const { valid, errors } = await validateXML({ xml: text, schema, maxMemoryPages: memoryPages });
  if (!valid) {
    const [first] = errors;
    throw invalid(`${first?.message.trim() ?? "the schema refuses them"} (line ${first?.loc?.lineNumber ?? 1})`);
  }
  return checkRequirements(convert(document.EnvironmentalRequirements));
}

function parse(text: string): Record<string, unknown> {
  const wellFormed = XMLValidator.validate(text);
  if (wellFormed !== true) throw invalid(`${wellFormed.err.msg} (line ${wellFormed.err.line})`);
  try {
    const parser = new XMLParser({ processEntities: false, parseTagValue: false, maxNestedTags: maxDepth });
    return parser.parse(text);
  } catch (cause) {
    throw invalid((cause as Error).message, cause);
  }
}

/** The schema has said what each element is: an empty group is text to the parser, and amounts are digits. */
function convert(element: unknown): unknown {
  const groups = Object.entries(element as Record<string, unknown>);
  return Object.fromEntries(
    groups.map(([group, fields]) => [
      group,
      Object.fromEntries(
        Object.entries(typeof fields === "object" && fields !== null ? fields : {}).map(([field, value]) => {
          const word = String(value).replace(/\s+/g, " ").trim();
          return [field, group === "Basic" ? word : Number(word)];
        }),
      ),
    ]),
  );
}
