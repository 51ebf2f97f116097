/** A domain's first start, and the later ones from the journal that it left. */
import { XenoError } from "../../cowfs/errors.ts";
import { bringUp } from "./bring-up.ts";
import type { DeploymentStep, DomainRecord } from "./domain-record.ts";
import { composeGuestFiles } from "./guest-files.ts";
import type { Host } from "./host.ts";

type OnStep = (step: DeploymentStep, at: number) => void;

/** Brings up an admitted domain for the first time. Where that fails, nothing of it is left, its record neither. */
export async function deployDomain(host: Host, record: DomainRecord, onStep: OnStep, signal: AbortSignal) {
  try {
    await bringUp(host, record, { files: composeGuestFiles(record.deployment, host.nameServers), onStep, signal });
  } catch (error) {
    const { name } = record;
    await host.records.remove(name).catch((left) => host.log.error({ domain: name, err: left }, "a record is left"));
    throw error;
  }
}

/** Brings up a domain that has run before, over what its names mean now where it follows them. Where that fails, it is as it was: stopped, with its journal. */
export async function startDomain(host: Host, record: DomainRecord, onStep: OnStep, signal: AbortSignal) {
  try {
    if (record.deployment.follow) await followNames(host, record, signal);
    await bringUp(host, record, { files: [], onStep, signal });
  } catch (error) {
    record.state = "stopped";
    record.reason = `it was not started: ${(error as Error).message}`;
    record.ended = Date.now();
    await host.records.save(record);
    throw error;
  }
}

/** Without its store a domain starts as it was: it follows at its next start. */
async function followNames(host: Host, record: DomainRecord, signal: AbortSignal): Promise<void> {
  const { name, deployment } = record;
  const asked = { journal: host.records.journalOf(record), url: deployment.overlay };
  const { isChanged, tree } = await host.fileServer.follow(asked, signal).catch((error) => {
    const isAway = error instanceof XenoError && ["store-unavailable", "store-throttled"].includes(error.code);
    if (!isAway) throw error;
    host.log.warn({ domain: name, err: error }, "it starts over what it was deployed with");
    return { isChanged: false, tree: undefined };
  });
  if (!isChanged || tree === undefined) return;
  host.log.info({ domain: name, tree }, "its journal lies over what its names mean now");
  record.overlayTree = tree;
  await host.records.save(record);
}
