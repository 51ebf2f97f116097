/** `xeno template precache`: on several XenoServers at once, each told what to bring and asked how far it is. */
import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { Command } from "commander";
import { parseTemplateName } from "../../templates/names/template-name.ts";
import type { XenodClient } from "../../xenod/api/client.ts";
import type { PrecacheRequest, PrecacheStatus } from "../../xenod/file-server/protocol.ts";
import { parseBytes, parseServers } from "./arguments.ts";
import { readContext } from "./context.ts";
import { describeError } from "./describe-error.ts";
import { exitCodes, formatBytes, printError, printResult, type Row } from "./output.ts";
import { withProgress } from "./progress.ts";
import { connectServer, findServers } from "./registered-servers.ts";

const askEveryMs = 500;

interface PrecacheFlags {
  readonly on: string[];
  readonly traceOnly?: boolean;
  readonly rate?: number;
}

export function createPrecacheCommand(): Command {
  return new Command("precache")
    .description("bring templates into the caches of XenoServers before anything boots from them")
    .argument("<names...>", "NAME, for template://NAME/current, or a URL")
    .requiredOption("--on <servers>", "names of XenoServers, separated by commas", parseServers)
    .option("--trace-only", "bring only what earlier boots have read")
    .option("--rate <size>", "at most so much a second on each XenoServer, such as 5M", parseBytes)
    .addHelpText(
      "after",
      `
Of all templates first what their boot traces name, then everything. Guests go first. After Ctrl-C, or where a XenoServer
was killed, the same command goes on where it was. Exit code 3 when only a part was done.

Examples:
  xeno template precache Debian/12 --on a,b
  xeno template precache Debian/12 Debian-kernel/6.1 --on a --rate 5M`,
    )
    .action(async (names: string[], flags: PrecacheFlags, command: Command) => {
      const { home, json, signal } = readContext(command);
      const request: PrecacheRequest = {
        urls: names.map(toUrl),
        traceOnly: flags.traceOnly,
        bytesPerSecond: flags.rate,
      };
      const servers = await findServers(home, flags.on);
      const rows = await withProgress(async (show) => {
        const shown = new Map<string, string>();
        const tellProgress = (server: string, text: string) => {
          shown.set(server, text);
          show([...shown].map(([name, text]) => `${name}: ${text}`).join("; "));
        };
        const asked = servers.map((registered) =>
          precacheOn(registered.name, connectServer(home, registered), request, tellProgress, signal),
        );
        return (await Promise.all(asked)).flat();
      });
      const failed = rows.filter(({ error }) => error !== undefined).length;
      if (failed > 0) process.exitCode = failed === rows.length ? exitCodes.error : exitCodes.partial;
      if (json) return printResult(true, rows as unknown as Row[]);
      printResult(
        false,
        rows
          .filter(({ error }) => error === undefined)
          .map(({ server, url, brought, seconds }) => ({ server, url, brought: formatBytes(brought), seconds })),
      );
      for (const { server, url, error } of rows)
        if (error !== undefined) printError(false, { ...error, message: `${server}: ${url}: ${error.message}` });
    });
}

function toUrl(name: string): string {
  const url = name.includes("://") ? name : `template://${name}/current`;
  if (url.startsWith("template://")) parseTemplateName(url);
  return url;
}

/** A row for each URL, once all are done or failed. */
async function precacheOn(
  server: string,
  connecting: Promise<XenodClient>,
  request: PrecacheRequest,
  tellProgress: (server: string, text: string) => void,
  signal: AbortSignal,
) {
  const client = await connecting;
  const id = randomUUID();
  const started = performance.now();
  const seconds = () => Number(((performance.now() - started) / 1000).toFixed(1));
  try {
    for (;;) {
      const status = await client.precache(id, request, signal);
      tellProgress(server, describe(status));
      if (status.isOver)
        return status.items.map(({ url, tree, broughtBytes, error }) => {
          return { server, url, tree, brought: broughtBytes, seconds: seconds(), error };
        });
      await delay(askEveryMs, undefined, { signal });
    }
  } catch (error) {
    if (signal.aborted) {
      await client.cancelPrecache(id).catch(() => {});
      throw error;
    }
    const told = describeError(error);
    return request.urls.map((url) => ({ server, url, tree: undefined, brought: 0, seconds: seconds(), error: told }));
  } finally {
    await client.close();
  }
}

function describe({ items }: PrecacheStatus): string {
  const sum = (of: (item: PrecacheStatus["items"][number]) => number) =>
    items.reduce((total, item) => total + of(item), 0);
  const phase = items.some((item) => item.phase === "trace") ? "traces" : "everything";
  return `${phase}, ${formatBytes(sum((item) => item.doneBytes))} of ${formatBytes(sum((item) => item.totalBytes))}`;
}
