/** What can be seen of a domain from outside: its record, its console, what it printed. */
import { once } from "node:events";
import { existsSync } from "node:fs";
import { open } from "node:fs/promises";
import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { XenoError } from "../../cowfs/errors.ts";
import type { ExportStatus } from "../file-server/protocol.ts";
import type { DomainUsage } from "../hypervisors/hypervisor.ts";
import { domainFiles } from "../hypervisors/qemu/command-line.ts";
import type { DomainRecord } from "./domain-record.ts";
import type { Host } from "./host.ts";

/** A domain as it is shown. */
export interface DomainView extends DomainRecord {
  /** Unix socket of the serial console, one client at a time, while the guest runs and where the hypervisor has one. */
  readonly console?: string;
  readonly export?: ExportStatus;
  /** Of its guest, while it runs. */
  readonly usage?: DomainUsage;
}

const consoleDeadlineMs = 2_000;

export async function describeView(host: Host, name: string): Promise<DomainView> {
  const record = host.records.get(name);
  const exported = record.exported ? await host.fileServer.getExport(name).catch(() => undefined) : undefined;
  const { console } = domainFiles(host.records.directoryOf(name));
  return {
    ...withoutContents(record),
    console: record.state === "running" && existsSync(console) ? console : undefined,
    export: exported,
    // It may just be ending.
    usage: await host.domains
      .get(name)
      ?.usage()
      .catch(() => undefined),
  };
}

/** What is laid over a guest's root may be secret, and is long: it is told by its paths. */
export function withoutContents(record: DomainRecord): DomainRecord {
  const { files, ...deployment } = record.deployment;
  if (files === undefined) return record;
  return { ...record, deployment: { ...deployment, files: files.map(({ path }) => ({ path })) } };
}

/** The end of what the guest printed on its console, at most so many bytes. */
export async function readConsoleLog({ records }: Host, name: string, maxBytes: number): Promise<Buffer> {
  records.get(name);
  const file = domainFiles(records.directoryOf(name)).consoleLog;
  const handle = await open(file, "r").catch(() => undefined);
  if (handle === undefined) return Buffer.alloc(0);
  try {
    const { size } = await handle.stat();
    const length = Math.min(size, maxBytes);
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, size - length);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

/** The serial console of a running domain, one client at a time. Throws `domain-stopped`, `console-unreachable`. */
export async function openConsole({ records, domains }: Host, name: string): Promise<Duplex> {
  const record = records.get(name);
  const console = record.state === "running" ? domains.get(name)?.openConsole() : undefined;
  if (console === undefined)
    throw new XenoError("domain-stopped", `domain ${name} does not run: it is ${record.state}`);
  try {
    if (console instanceof Socket) await once(console, "connect", { signal: AbortSignal.timeout(consoleDeadlineMs) });
    return console;
  } catch (cause) {
    console.destroy();
    throw new XenoError("console-unreachable", `the console of ${name} cannot be opened: ${(cause as Error).message}`, {
      hint: "it is for one at a time",
      cause,
    });
  }
}
