/**
 * Which environment of its session a new task is given before another one is made: a domain that has run, with what its guest
 * wrote. A domain takes its task alone, so that one which runs has no room for a second.
 *
 * - (X1) It was asked for in the same words, of kernel and resources too; and what its names mean now is what it lies over, or it
 *   follows them.
 * - (X2) It does not run, and nothing but a new task will start it. Its former task is over.
 * - (X3) Who wants it without what was written ends its task first, which removes it.
 */
import { createHash } from "node:crypto";
import { locateKernel } from "../../xenod/daemon/deployment.ts";
import type { DomainRecord } from "../../xenod/daemon/domain-record.ts";
import { isToRestart } from "../../xenod/daemon/restarts.ts";
import type { Machine } from "./machines.ts";
import type { Session, SessionTask } from "./session.ts";

/** What an environment is known by (X1), in its session. */
export function nameEnvironment(kind: string, asked: unknown, kernel: string): string {
  return createHash("sha256")
    .update(JSON.stringify([kind, asked, kernel]))
    .digest("base64url");
}

export async function matchEnvironment(
  { tasks }: Session,
  environment: string,
  { client }: Machine,
): Promise<SessionTask | undefined> {
  const candidates = tasks.filter((task) => task.environment === environment && !task.isEnding && !task.isHeldBack);
  if (candidates.length === 0) return undefined;
  const domains = await client.domains();
  for (const task of candidates) {
    const domain = domains.find(({ deployment }) => deployment.id === task.request);
    if (domain !== undefined && isFree(domain) && (await isCurrent(domain, client))) return task;
  }
  return undefined;
}

/** (X2) */
function isFree(domain: DomainRecord): boolean {
  if (domain.operation !== undefined) return false;
  if (domain.state === "suspended") return true;
  return (domain.state === "stopped" || domain.state === "crashed") && !isToRestart(domain);
}

/** (X1) Throws what a deployment of those names would. */
async function isCurrent({ deployment, overlayTree, kernelTree }: DomainRecord, client: Machine["client"]) {
  const [overlay, kernel] = await Promise.all([
    client.resolve(deployment.overlay),
    client.resolve(locateKernel(deployment).url),
  ]);
  return (deployment.follow === true || overlay.tree === overlayTree) && kernel.tree === kernelTree;
}
