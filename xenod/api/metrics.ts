/** What a XenoServer measures of itself, in Prometheus' text format. Names and units follow its naming rules (base units, `_total`). */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { XenoServer } from "../daemon/xeno-server.ts";

export interface Metrics {
  readonly contentType: string;
  /** Looks at everything anew. */
  read(): Promise<string>;
  countRequest(method: string, route: string, status: number, seconds: number): void;
}

const mebibyte = 1024 * 1024;
/** Each look wakes an idle XenoServer, which woke 107 times a second with 10 ms and wakes 24 times now. The lag that is told includes it. */
const eventLoopLookMs = 100;

export function createMetrics(server: XenoServer): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry, prefix: "xenod_", eventLoopMonitoringPrecision: eventLoopLookMs });
  const registers = [registry];
  const requests = new Histogram({
    ...{ name: "xeno_api_request_seconds", help: "Requests to the API.", registers },
    labelNames: ["method", "route", "status"],
    buckets: [0.005, 0.05, 0.5, 5, 30],
  });
  const domains = new Gauge({ name: "xeno_domains", help: "Domains, by state.", labelNames: ["state"], registers });
  const memory = new Gauge({
    name: "xeno_guest_memory_bytes",
    help: "Memory of running guests, with overhead.",
    registers,
  });
  const hostMemory = new Gauge({ name: "xeno_host_memory_bytes", help: "Memory of the host.", registers });
  const tasks = new Gauge({ name: "xeno_tasks", help: "Remembered tasks.", labelNames: ["kind", "state"], registers });
  const fileServer = new Gauge({ name: "xeno_file_server_up", help: "Whether the file server answers.", registers });
  const byDomain = { labelNames: ["domain"], registers } as const;
  const exports = {
    requests: new Counter({ name: "xeno_root_requests_total", help: "NFS requests of a guest's root.", ...byDomain }),
    bytesReceived: new Counter({ name: "xeno_root_received_bytes_total", help: "Bytes from a guest.", ...byDomain }),
    bytesSent: new Counter({ name: "xeno_root_sent_bytes_total", help: "Bytes to a guest.", ...byDomain }),
    parked: new Counter({ name: "xeno_root_parked_total", help: "Requests that waited for data.", ...byDomain }),
  };
  const parties = { labelNames: ["from", "to"], registers } as const;
  const traffic = {
    requests: new Counter({ name: "xeno_store_requests_total", help: "Requests to the XenoStore.", ...parties }),
    bytes: new Counter({ name: "xeno_store_bytes_total", help: "Payload from and to the XenoStore.", ...parties }),
  };

  async function observe(): Promise<void> {
    const status = await server.status();
    domains.reset();
    for (const [state, count] of Object.entries(status.domains)) domains.set({ state }, count);
    memory.set(status.memoryMiB.guests * mebibyte);
    hostMemory.set(status.memoryMiB.total * mebibyte);
    tasks.reset();
    for (const { kind, state } of server.tasks.list()) tasks.inc({ kind, state });
    const seen = await server.readFileServerStatus();
    fileServer.set(seen === undefined ? 0 : 1);
    for (const counter of Object.values(exports)) counter.reset();
    for (const { id: domain, counters } of seen?.exports ?? [])
      for (const name of Object.keys(exports) as (keyof typeof exports)[])
        exports[name].inc({ domain }, counters?.[name] ?? 0);
    for (const counter of Object.values(traffic)) counter.reset();
    for (const { from, to, requests, bytes } of await server.traffic().catch(() => [])) {
      traffic.requests.inc({ from, to }, requests);
      traffic.bytes.inc({ from, to }, bytes);
    }
  }

  return {
    contentType: registry.contentType,
    async read() {
      await observe();
      return await registry.metrics();
    },
    countRequest: (method, route, status, seconds) => requests.observe({ method, route, status }, seconds),
  };
}
