import { execFile } from "node:child_process";
import { promisify } from "node:util";

const fields = ["$(ORIGIN)", "$(CODENAME)", "$(RELEASE)", "$(COMPONENT)", "$(REPO_URI)"];

/** Debian's own key, at the same path on the host and in the template. */
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";

/**
 * The sources.list lines for a release of Debian, from the mirrors that this host's own apt uses (whatever release the
 * host is). Empty where apt knows none: mmdebstrap then has a default.
 */
export async function listDebianSources(codename: string): Promise<string[]> {
  const { stdout } = await promisify(execFile)("apt-get", [
    "indextargets",
    "--format",
    fields.join("|"),
    "Created-By: Packages",
  ]);
  return rewriteSources(stdout, codename);
}

/** `targets` is what apt printed: origin, codename, release, component and address in each line. */
export function rewriteSources(targets: string, codename: string): string[] {
  const lines = new Set<string>();
  for (const target of targets.split("\n")) {
    const [origin, , release = "", component, address] = target.split("|");
    // `bookworm`, `bookworm-updates`, `bookworm-security`; backports and proposed updates are not asked for.
    const [, suffix] = /^[a-z]+(|-updates|-security)$/.exec(release) ?? [];
    if (origin !== "Debian" || component !== "main" || suffix === undefined) continue;
    lines.add(`deb [signed-by=${keyring}] ${address} ${codename}${suffix} main`);
  }
  return [...lines];
}

/** The proxy that this host's apt uses, or nothing: mmdebstrap's apt reads the new system's configuration. */
export async function findAptProxy(): Promise<string> {
  const { stdout } = await promisify(execFile)("apt-config", ["shell", "proxy", "Acquire::http::Proxy"]);
  return /^proxy='(.*)'$/m.exec(stdout)?.[1] ?? "";
}
