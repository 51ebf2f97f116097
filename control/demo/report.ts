/** The deployment paper's Figure 2 and Tables 1 and 2, from this run. */

import { type DomainRecord, deploymentSteps } from "../../xenod/daemon/domain-record.ts";
import type { Traffic } from "../../xenostore/stores/meter.ts";
import { formatBytes, formatTable, type Row } from "../cli/output.ts";
import type { TreeFigures } from "./prepare.ts";

export interface ServerReport {
  readonly name: string;
  readonly status: "ok" | "failed";
  /** From the request's acceptance to the guest's init. */
  readonly bootMs?: number;
  /** From the user's command to the first 200 with the page. */
  readonly answerMs?: number;
  readonly url?: string;
  readonly error?: string;
  readonly domain?: DomainRecord;
}

export interface Report {
  readonly startedAt: number;
  readonly template: TreeFigures;
  readonly overlay: TreeFigures;
  readonly servers: readonly ServerReport[];
  readonly traffic: readonly Traffic[];
}

export function formatReport(report: Report): string {
  return [
    "Deployment timeline: seconds after the command at which each step was done (the paper's Figure 2)",
    formatTable(report.servers.map((server) => timelineRow(server, report.startedAt))),
    "Overlay size against the whole file system, file bytes (the paper's Table 1: Apache 1 %)",
    formatTable([sizeRow(report)]),
    "Messages and data (the paper's Table 2)",
    formatTable(
      report.traffic.map(({ from, to, requests, bytes }) => ({ from, to, requests, bytes: formatBytes(bytes) })),
    ),
  ].join("\n");
}

export function summarize({ template, overlay, servers, traffic }: Report) {
  return {
    ok: servers.every(({ status }) => status === "ok"),
    template,
    overlay: { id: overlay.id, bytes: overlay.bytes, share: shareOf(overlay, template) },
    servers: servers.map(({ name, bootMs, answerMs, status }) => ({ name, bootMs, answerMs, status })),
    traffic,
  };
}

function timelineRow({ name, domain, answerMs, status }: ServerReport, startedAt: number): Row {
  const row: Record<string, string> = { server: name };
  for (const step of deploymentSteps) {
    const at = domain?.steps[step];
    row[step] = at === undefined ? "-" : ((at - startedAt) / 1000).toFixed(1);
  }
  row.service = answerMs === undefined ? status : (answerMs / 1000).toFixed(1);
  return row;
}

function sizeRow({ template, overlay }: Report): Row {
  return {
    service: "Apache",
    overlay: formatBytes(overlay.bytes),
    "whole file system": formatBytes(template.bytes + overlay.bytes),
    share: `${(100 * shareOf(overlay, template)).toFixed(1)} %`,
  };
}

function shareOf(overlay: TreeFigures, template: TreeFigures): number {
  return Number((overlay.bytes / template.bytes).toFixed(4));
}
