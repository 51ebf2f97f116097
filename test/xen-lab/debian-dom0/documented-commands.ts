/** What docs/operating.md tells operators to type: so that it is run, and not something like it. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";

const file = join(import.meta.dirname, "..", "..", "..", "docs", "operating.md");

/** The commands of a section, in their order: what is set off by four spaces. */
export async function readCommands(section: string): Promise<string[]> {
  const text = await readFile(file, "utf8");
  const [, after] = text.split(`\n## ${section}\n`);
  if (after === undefined) throw new Error(`docs/operating.md has no section "${section}"`);
  const [body = ""] = after.split("\n## ");
  return body
    .split("\n")
    .filter((line) => line.startsWith("    "))
    .map((line) => line.trim());
}
