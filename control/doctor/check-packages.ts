import { execa } from "execa";
import packages from "../../scripts/debian-packages.json" with { type: "json" };
import { type Check, pass } from "./check.ts";

/** One check a package of scripts/debian-packages.json. */
export async function checkDebianPackages(): Promise<Check[]> {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the placeholders are dpkg-query's.
  const format = "${Package} ${db:Status-Status} ${Version}\n";
  const names = packages.map(({ name }) => name);
  // It fails when one of them is unknown, and still tells about the others.
  const query = await execa("dpkg-query", ["-W", "-f", format, ...names], { reject: false, stdin: "ignore" });
  const versions = new Map<string, string>();
  for (const line of String(query.stdout ?? "").split("\n")) {
    const [name, status, version] = line.split(" ");
    if (status === "installed" && name !== undefined) versions.set(name, version ?? "");
  }
  return packages.map(({ name, purpose, neededBy }) => {
    const version = versions.get(name);
    const required = neededBy.includes("run");
    if (version !== undefined) return pass(name, version, required);
    const howToGet = `apt-get install --no-install-recommends ${name}`;
    return { name, ok: false, required, found: "nothing", missing: purpose, howToGet };
  });
}
