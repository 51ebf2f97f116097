/** Which ports of a XenoServer a deployment may publish: those that the operator gives away, each to one domain. */
import { XenoError } from "../../cowfs/errors.ts";
import type { Deployment } from "./deployment.ts";
import type { DomainRecord } from "./domain-record.ts";

export interface PortSettings {
  /** On the host's own addresses, not on those of the XenoServer's own network namespace. */
  readonly isOnHost: boolean;
  /** What may be published; undefined: nothing. */
  readonly range: { readonly first: number; readonly last: number } | undefined;
}

/** `others` are the domains that hold their ports. Throws `ports-refused`, `port-taken`. */
export function admitPorts({ ports = [] }: Deployment, { range }: PortSettings, others: readonly DomainRecord[]): void {
  const taken = new Map<string, string>();
  for (const { name, deployment } of others) for (const port of deployment.ports ?? []) taken.set(nameOf(port), name);
  for (const port of ports) {
    if (range === undefined || port.published < range.first || port.published > range.last)
      throw new XenoError("ports-refused", `port ${port.published} cannot be published here`, {
        hint:
          range === undefined ? "this XenoServer publishes none" : `choose one from ${range.first} to ${range.last}`,
      });
    const owner = taken.get(nameOf(port));
    if (owner !== undefined)
      throw new XenoError("port-taken", `port ${nameOf(port)} is published ${owner === "" ? "twice" : `by ${owner}`}`, {
        hint: "choose another port, or deploy elsewhere",
      });
    taken.set(nameOf(port), "");
  }
}

function nameOf({ published, protocol = "tcp" }: { published: number; protocol?: string }): string {
  return `${published}/${protocol}`;
}
