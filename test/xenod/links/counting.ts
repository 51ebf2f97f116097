/** Counts what arrives in a namespace, by the address that it says it is from. */
import { execa } from "execa";
import { namespacePath } from "../../../xenod/links/namespaces.ts";

/** Rules for `applyRules`; they look before anything else does. */
export function countSources(device: string, sources: readonly string[]): string {
  const counters = sources.map((source) => `iifname "${device}" ip saddr ${source} counter`).join("\n    ");
  return `table ip count {
  chain in {
    type filter hook prerouting priority -500; policy accept;
    ${counters}
  }
}`;
}

/** Packets by source address. */
export async function readCounts(namespace: string): Promise<Record<string, number>> {
  const options = [`--net=${namespacePath(namespace)}`, "nft", "-n", "list", "table", "ip", "count"];
  const { stdout } = await execa("nsenter", options, {
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
    extendEnv: false,
  });
  const counts = [...stdout.matchAll(/ip saddr (\S+) counter packets (\d+)/g)];
  return Object.fromEntries(counts.map(([, source, packets]) => [source, Number(packets)]));
}
