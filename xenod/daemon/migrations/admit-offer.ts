/** Whether there is room here for a domain that is offered, and the record of what is to come. */

import { XenoError } from "../../../cowfs/errors.ts";
import type { MigrationOffer } from "../../migration/peers/messages.ts";
import type { MigrationId } from "../../migration/protocol/messages.ts";
import { admit, isUp } from "../../resources/admission.ts";
import { admitPorts } from "../admit-ports.ts";
import { chooseName, maxDomains } from "../deployment.ts";
import type { DomainRecord } from "../domain-record.ts";
import type { Host } from "../host.ts";

/** Throws `server-draining`, `domain-exists`, `domains-full`, and what admission throws. In the queue of admissions. */
export async function admitOffer(
  host: Host,
  from: string,
  migration: MigrationId,
  offer: MigrationOffer,
): Promise<DomainRecord> {
  const { domain: name, deployment, task, overlayTree, kernelTree, guestAddress, restarts, checkpoints, steps } = offer;
  host.draining.refuse();
  const memory = await host.hypervisor.memory?.();
  const all = host.records.list();
  if (all.length >= maxDomains)
    throw new XenoError("domains-full", `this XenoServer keeps ${maxDomains} domains`, { hint: "remove some" });
  chooseName({ ...deployment, name }, (candidate) => host.records.find(candidate) !== undefined);
  admit(deployment, all, memory);
  const up = all.filter(({ state }) => isUp(state));
  admitPorts(deployment, host.ports, up);
  const address = host.pool?.choose((candidate) => all.some((record) => record.address === candidate), guestAddress);
  return {
    ...{ format: 1, name, deployment, task, overlayTree, kernelTree, restarts, checkpoints, steps, address },
    ...{ intent: "running", state: "receiving", link: true, exported: true },
    operation: { kind: "receive", migration, from },
    guestAddress: guestAddress === address ? undefined : guestAddress,
  };
}
