/**
 * After a restart: the hypervisor says what runs, the records say what may. Each domain is brought to the nearest valid
 * state, and whatever no record speaks of is removed.
 *
 *     the record says          a guest runs                      no guest runs
 *     removed                  removed                           removed
 *     stopped                  stopped                           stopped
 *     running, deploying       taken back: it has never run      taken back
 *     running, starting        taken back: as it was             taken back
 *     running                  taken up; unpaused if need be     crashed, or its host was restarted
 *     suspended                ended                             suspended
 *     moved                    kept, paused: see migrations/     kept
 *
 * Before that, an operation that was cut off is settled: a suspend whose checkpoint was kept is finished, one whose was not
 * is given up, and a resume whose guest has not run is taken back (suspend-domain.ts, resume-domain.ts).
 * What a domain that ended by itself does next, its restart policy says: see restarts.ts.
 */
import { rm } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { XenoError } from "../../cowfs/errors.ts";
import type { Domain } from "../hypervisors/hypervisor.ts";
import { deleteLink, listLinks } from "../links/guest-link.ts";
import { joinNames } from "../links/namespaces.ts";
import { sweepPublishedPorts } from "../links/published-ports.ts";
import { readBootId } from "../processes.ts";
import type { DomainRecord } from "./domain-record.ts";
import { removeDomain, stopDomain } from "./end-domain.ts";
import { followDomain, watchBoot } from "./follow-domain.ts";
import { describeExport, describeLinkOf, type Host, releaseResources } from "./host.ts";
import type { Migrations } from "./migrations/migrations.ts";
import { takeBackResume } from "./resume-domain.ts";
import { callOff, concludeSuspend, tellGuest } from "./suspend-domain.ts";

/** The Xenod before may not have let go of its guests yet. */
const findAttempts = 5;
const findPauseMs = 500;

/** `orphans` are directories without a record. Settles once every domain is settled; what fails is logged and left. */
export async function reconcile(
  host: Host,
  orphans: readonly string[],
  migrations: Pick<Migrations, "settle">,
  signal: AbortSignal,
): Promise<void> {
  await Promise.all(
    host.records.list().map((record) =>
      host.queues.run(record.name, async () => {
        try {
          await settle(host, record, migrations, signal);
        } catch (error) {
          host.log.error({ domain: record.name, err: error }, "cannot settle the domain");
          record.reason = `not settled after a restart: ${(error as Error).message}`;
        }
      }),
    ),
  );
  for (const name of orphans) {
    const directory = host.records.directoryOf(name);
    await host.hypervisor.find(name, directory).then((domain) => domain?.destroy());
    await rm(directory, { recursive: true, force: true });
  }
  await sweepResources(host);
}

async function settle(
  host: Host,
  record: DomainRecord,
  migrations: Pick<Migrations, "settle">,
  signal: AbortSignal,
): Promise<void> {
  const { records, log } = host;
  if (record.intent === "removed") return await removeDomain(host, record, 0, signal);
  const domain = await findDomain(host, record.name);
  if (record.state === "deploying") {
    log.info({ domain: record.name }, "taking back a deployment that was cut off");
    await domain?.destroy();
    await releaseResources(host, record);
    return await records.remove(record.name);
  }
  if (await migrations.settle(record, domain)) return;
  if (record.operation !== undefined) await settleOperation(host, record, domain, signal);
  if (record.intent === "stopped" && record.state === "running") {
    if (domain !== undefined) host.domains.set(record.name, domain);
    return await stopDomain(host, record, 0, signal);
  }
  await records.checkpointsOf(record.name).sweep();
  if (record.state === "running" && domain !== undefined) return await takeUp(host, record, domain, signal);
  await domain?.destroy();
  if (record.state === "starting") {
    record.state = "stopped";
    record.reason = "its start was cut off";
    record.ended = Date.now();
    // What made it start is still so.
    record.endedBy ??= "crash";
    await records.save(record);
  }
  if (record.state === "running") {
    const isSameBoot = record.hostBoot === undefined || record.hostBoot === (await readBootId());
    record.state = "crashed";
    record.endedBy = isSameBoot ? "crash" : "host-boot";
    record.reason = isSameBoot ? "the guest was gone when Xenod came back" : "its host was restarted";
    record.ended = Date.now();
    await records.save(record);
  }
  if (record.link || record.exported) {
    await releaseResources(host, record);
    await records.save(record);
  }
  host.onEnd(record);
}

async function settleOperation(
  host: Host,
  record: DomainRecord,
  domain: Domain | undefined,
  signal: AbortSignal,
): Promise<void> {
  const operation = record.operation!;
  host.log.info({ domain: record.name, operation }, "settling what was cut off");
  if (operation.kind === "resume") return await takeBackResume(host, record, domain);
  if (operation.kind !== "suspend") return;
  if (domain !== undefined) await host.fileServer.putExport(record.name, describeExport(host, record), signal);
  const kept = await host.records.checkpointsOf(record.name).list();
  const isKept = kept.some(({ number }) => number === operation.checkpoint);
  await (isKept ? concludeSuspend : callOff)(host, record, domain);
}

/** The guest goes on, and so does its export; one that was lost is made again from the record. */
async function takeUp(host: Host, record: DomainRecord, domain: Domain, signal: AbortSignal): Promise<void> {
  host.log.info({ domain: record.name }, "found running");
  followDomain(host, record, domain);
  await host.fileServer.putExport(record.name, describeExport(host, record), signal);
  if ((await domain.state()) === "paused") await domain.unpause();
  if (record.cutPorts !== undefined) {
    await tellGuest(host, record, record.cutPorts);
    record.cutPorts = undefined;
    await host.records.save(record);
  }
  if (record.steps.init !== undefined) return;
  watchBoot(host, record, signal).catch((error) => {
    if (!signal.aborted) host.log.warn({ domain: record.name, err: error }, "the boot was not followed to its end");
  });
}

async function findDomain(host: Host, name: string): Promise<Domain | undefined> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await host.hypervisor.find(name, host.records.directoryOf(name));
    } catch (error) {
      if (!(error instanceof XenoError) || attempt === findAttempts) throw error;
      await delay(findPauseMs);
    }
  }
}

async function sweepResources(host: Host): Promise<void> {
  const { exports } = await host.fileServer.status();
  for (const { id } of exports) if (!host.records.find(id)?.exported) await host.fileServer.deleteExport(id);
  for (const name of await listLinks(host.linkPrefix, host.name)) {
    if (host.records.find(name)?.link) continue;
    host.log.info({ domain: name }, "removing a link that belongs to no domain");
    await deleteLink(describeLinkOf(host, name));
  }
  const { linkPrefix: prefix, name: server, ports } = host;
  const namespace = ports.isOnHost ? undefined : host.pool && joinNames(prefix, server);
  const linked = host.records.list().filter(({ link }) => link);
  if (ports.isOnHost || namespace !== undefined)
    await sweepPublishedPorts(
      { prefix, server, namespace },
      linked.map(({ name }) => name),
    );
}
