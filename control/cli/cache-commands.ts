/** `xeno cache`: what the caches of this machine's XenoServers, and of the commands themselves, hold. */
import fs from "node:fs/promises";
import { Command } from "commander";
import { XenoError } from "../../cowfs/errors.ts";
import { fileServerFiles } from "../../xenod/file-server/files.ts";
import { listCachedFiles, treesOf } from "../../xenostore/pull/cache-files.ts";
import { evict } from "../../xenostore/pull/evict.ts";
import { verifyCachedTree } from "../../xenostore/pull/verify-cache.ts";
import { parseRoom, parseServers } from "./arguments.ts";
import { readContext } from "./context.ts";
import type { Home } from "./home.ts";
import { exitCodes, formatBytes, printResult, tell } from "./output.ts";
import { withProgress } from "./progress.ts";
import { findServers, isLocal, listServers } from "./registered-servers.ts";

interface NamedCache {
  /** A XenoServer's name, or `commands`. */
  readonly name: string;
  readonly trees: string;
}

interface CacheFlags {
  readonly on?: string[];
}

export function createCacheCommands(): Command {
  const cache = new Command("cache").description("what XenoServers have of templates and overlays on their disks");
  const onServers = ["--on <servers>", "only these XenoServers' (default: all, and the commands' own)"] as const;

  cache
    .command("ls")
    .description("list the trees of each cache, with what of them is here")
    .option(...onServers, parseServers)
    .addHelpText("after", "\nExample:\n  xeno cache ls --on a")
    .action(async (flags: CacheFlags, command: Command) => {
      const { home, json } = readContext(command);
      const rows = [];
      for (const { name, trees } of await findCaches(home, flags.on)) {
        const files = await listCachedFiles(trees);
        for (const [tree, own] of Map.groupBy(files, (file) => file.tree)) {
          const bytes = own.reduce((sum, file) => sum + file.bytes, 0);
          const usedAt = new Date(Math.max(...own.map((file) => file.usedAt))).toISOString();
          rows.push({ cache: name, tree, bytes, usedAt });
        }
      }
      if (json) return printResult(true, rows);
      printResult(
        false,
        rows.map(({ cache, tree, bytes, usedAt }) => ({
          cache,
          tree: tree.slice(0, 12),
          here: formatBytes(bytes),
          used: usedAt.slice(0, 19),
        })),
      );
      if (rows.length === 0) tell("Nothing is cached.");
    });

  cache
    .command("verify")
    .description("compare all that is cached with its hashes; what is damaged is fetched again when it is needed")
    .option(...onServers, parseServers)
    .addHelpText("after", "\nExit code 3 when something was damaged.\n\nExample:\n  xeno cache verify")
    .action(async (flags: CacheFlags, command: Command) => {
      const { home, json, signal } = readContext(command);
      const rows = await withProgress(async (show) => {
        const verified = [];
        for (const { name, trees } of await findCaches(home, flags.on)) {
          for (const tree of new Set((await listCachedFiles(trees)).map((file) => file.tree))) {
            show(`verifying ${name}, tree ${tree.slice(0, 12)}`);
            const found = await verifyCachedTree(trees, tree, signal);
            if (found !== undefined) verified.push({ cache: name, ...found });
          }
        }
        return verified;
      });
      const isDamaged = rows.some(({ damagedChunks, isIndexDamaged }) => damagedChunks > 0 || isIndexDamaged);
      if (isDamaged) process.exitCode = exitCodes.partial;
      if (json) return printResult(true, rows);
      printResult(
        false,
        rows.map(({ cache, tree, chunks, bytes, damagedChunks, isIndexDamaged, isOpen }) => ({
          cache,
          tree: tree.slice(0, 12),
          chunks,
          good: formatBytes(bytes),
          damaged: isIndexDamaged ? "index" : damagedChunks,
          note: isOpen ? "in use" : "",
        })),
      );
      if (rows.length === 0) tell("Nothing is cached.");
    });

  cache
    .command("trim")
    .description("delete what was used longest ago until so much is left; what a running domain uses stays")
    .requiredOption("--to <size>", "what may be left of each cache, such as 5G, or 0", parseRoom)
    .option(...onServers, parseServers)
    .addHelpText("after", "\nExample:\n  xeno cache trim --to 5G --on a,b")
    .action(async ({ to, on }: CacheFlags & { readonly to: number }, command: Command) => {
      const { home, json } = readContext(command);
      const rows = [];
      for (const { name, trees } of await findCaches(home, on)) rows.push({ cache: name, ...(await evict(trees, to)) });
      if (json) return printResult(true, rows);
      printResult(
        false,
        rows.map(({ cache, freedBytes, keptBytes, pinnedBytes }) => ({
          cache,
          freed: formatBytes(freedBytes),
          left: formatBytes(keptBytes),
          "in use": formatBytes(pinnedBytes),
        })),
      );
    });

  return cache;
}

async function findCaches(home: Home, on: readonly string[] | undefined): Promise<NamedCache[]> {
  const servers = on === undefined ? await listServers(home) : await findServers(home, on);
  const caches = servers.filter(isLocal).map(({ name, stateDirectory }) => ({
    name,
    trees: treesOf(fileServerFiles(stateDirectory).cache),
  }));
  const remote = servers.find((server) => !isLocal(server));
  if (on !== undefined && remote !== undefined)
    throw new XenoError("server-remote", `the cache of XenoServer ${remote.name} is on another machine`, {
      hint: "Run the command there.",
    });
  if (on !== undefined) return caches;
  // A command takes the first that no other one has: see home.ts.
  for (const index of await fs.readdir(home.at("cache")).catch(() => []))
    caches.push({ name: "commands", trees: treesOf(home.at("cache", index)) });
  return caches;
}
