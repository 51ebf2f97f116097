/**
 * From a domain's record to its running guest, step by step. What fails, or is killed and found by `reconcile`, is taken back in
 * reverse order until nothing of the host's is left; from the guest's first instruction on, only the domain's state tells.
 */
import { XenoError } from "../../cowfs/errors.ts";
import type { FileToLay } from "../file-server/protocol.ts";
import { createLink } from "../links/guest-link.ts";
import { readBootId } from "../processes.ts";
import type { DeploymentStep, DomainRecord } from "./domain-record.ts";
import { followDomain } from "./follow-domain.ts";
import {
  describeDomain,
  describeExport,
  describeGuestLink,
  type Host,
  prepareKernel,
  releaseResources,
} from "./host.ts";

export interface BringUp {
  /** Laid over the root first: where the guest has never run. */
  readonly files: readonly FileToLay[];
  onStep(step: DeploymentStep, at: number): void;
  readonly signal: AbortSignal;
}

/** Settles when the guest's CPUs run, and it is followed. */
export async function bringUp(host: Host, record: DomainRecord, { files, onStep, signal }: BringUp): Promise<void> {
  const { name, deployment } = record;
  const { records, fileServer, hypervisor, log } = host;
  const step = (which: DeploymentStep, at = Date.now()) => {
    record.steps[which] = at;
    onStep(which, at);
  };
  await using undo = new AsyncDisposableStack();
  const undoLater = (what: string, act: () => Promise<void>) =>
    undo.defer(() => act().catch((error) => log.error({ domain: name, error }, `cannot take back ${what}`)));

  const image = await prepareKernel(host, record, signal);

  // (R1) in domain-record.ts.
  record.link = true;
  record.exported = true;
  await records.save(record);
  undoLater("link and export", () => releaseResources(host, record));
  const link = await createLink(describeGuestLink(host, record));
  const { events, ...opened } = await fileServer.putExport(name, describeExport(host, record), signal);
  const { hasInit } = files.length === 0 ? opened : await fileServer.layFiles(name, files, signal);
  record.layers = opened.layers;
  step("template", events.layers);
  step("overlay", events.opened);
  step("fileServer", events.listening);
  if (!hasInit)
    throw new XenoError("init-missing", `${deployment.overlay} has no ${deployment.init ?? "/sbin/init"}`, {
      hint: "does its .mount name the template that it lies over?",
    });

  signal.throwIfAborted();
  const domain = await hypervisor.create(describeDomain(host, record, link, image), signal);
  undoLater("the domain", () => domain.destroy());
  step("hypervisor");

  signal.throwIfAborted();
  record.state = "running";
  record.hostBoot = await readBootId();
  await records.save(record);
  await domain.unpause();
  undo.move();
  step("kernel");
  followDomain(host, record, domain);
  await records.save(record);
}
