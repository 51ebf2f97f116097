/** `bench store`: publishing and pulling a Debian tree, beside casync, ostree, restic and borg. */
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { execa } from "execa";
import { findHome } from "../../control/cli/home.ts";
import { XenoError } from "../../cowfs/errors.ts";
import { describeMachine } from "../machine.ts";
import { UsageError } from "../usage-error.ts";
import { type Contender, ourCommands, peers } from "./contenders.ts";
import { measureBytes, measureCommand } from "./measure.ts";
import { changeFiles, chooseChanged, listFiles, prepareTree } from "./prepare-tree.ts";
import { formatReport, type Result } from "./report.ts";

export const storeUsage = "store [--quick] [--tree DIRECTORY] [--peers casync,ostree,restic,borg] [--json]";

export async function runStore(options: string[], signal: AbortSignal): Promise<number> {
  const { isQuick, given, chosen, json } = readFlags(options);
  await requirePeers(chosen);
  const machine = await describeMachine();
  const kept = findHome().at("bench", "store");
  const tell = (text: string) => process.stderr.write(`${text}\n`);
  tell("preparing the tree");
  await mkdir(kept, { recursive: true });
  const tree = given ?? (await prepareTree(kept, isQuick, signal));
  const scratch = await mkdtemp(join(kept, "run-"));
  try {
    const files = await listFiles(tree);
    const changed = chooseChanged(files);
    const second = join(scratch, "changed");
    await execa("cp", ["--archive", tree, second], { cancelSignal: signal });
    await changeFiles(second, changed);
    const bytes = await measureBytes(tree);
    // Once before anything is timed: nobody finds a colder cache than the others.
    await execa("tar", ["--create", "--file", "/dev/null", tree, second], { cancelSignal: signal });
    const results: Result[] = [];
    for (const peer of chosen) {
      tell(peer.name);
      results.push(await measurePeer(peer, { tree, second, scratch, signal }));
    }
    tell("xeno");
    const list = join(scratch, "list");
    await writeFile(list, changed.join("\n"), "latin1");
    results.push(await measureOurs({ tree, second, scratch, list, signal }));
    const report = { machine, tree: { files: files.length, bytes, changed: changed.length }, isQuick, results };
    process.stdout.write(json ? `${JSON.stringify(report)}\n` : formatReport(report));
    return 0;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

interface Place {
  readonly tree: string;
  readonly second: string;
  readonly scratch: string;
  readonly signal: AbortSignal;
}

async function measurePeer(peer: Contender, { tree, second, scratch, signal }: Place): Promise<Result> {
  const store = join(scratch, peer.name);
  const output = join(scratch, `${peer.name}.out`);
  await mkdir(store);
  const { begin, publish, pull, env } = peer.commands(store);
  if (begin !== undefined) await measureCommand(begin, { env, signal });
  const first = await measureCommand(publish(tree, 1), { env, signal });
  const bytesFirst = await measureBytes(store);
  const again = await measureCommand(publish(second, 2), { env, signal });
  const bytesBoth = await measureBytes(store);
  const pulled = await measureCommand(pull(output), { env, signal });
  await rm(store, { recursive: true, force: true });
  await rm(output, { recursive: true, force: true });
  const { name, deduplicates } = peer;
  return { name, deduplicates, first, second: again, pull: pulled, bytesFirst, bytesBoth };
}

async function measureOurs({ tree, second, scratch, list, signal }: Place & { list: string }): Promise<Result> {
  const home = join(scratch, "xeno");
  const env = { XENO_HOME: home };
  const run = (command: readonly string[]) => measureCommand(command, { env, signal });
  const store = join(home, "store");
  const forget = () => rm(join(home, "cache"), { recursive: true, force: true });
  await run(ourCommands.newKey);
  const first = await run(ourCommands.publish(tree, "1"));
  const bytesFirst = await measureBytes(store);
  // The journal's publication comes before the directory's, which would have sent its chunks already.
  const copy = join(scratch, "copy");
  await cp(home, copy, { recursive: true, preserveTimestamps: true });
  const journal = join(scratch, "journal");
  await run(ourCommands.change(journal, list));
  const fromJournal = await run(ourCommands.publish(journal, "2"));
  await rm(home, { recursive: true });
  await cp(copy, home, { recursive: true, preserveTimestamps: true });
  const again = await run(ourCommands.publish(second, "2"));
  const bytesBoth = await measureBytes(store);
  await forget();
  const firstByte = await run(ourCommands.pull("first"));
  await forget();
  const pull = await run(ourCommands.pull("all"));
  return {
    name: "xeno",
    deduplicates: true,
    first,
    second: again,
    fromJournal,
    pull,
    firstByte,
    bytesFirst,
    bytesBoth,
  };
}

async function requirePeers(chosen: readonly Contender[]): Promise<void> {
  const missing: string[] = [];
  for (const name of chosen.flatMap(({ packages }) => packages)) {
    const { exitCode } = await execa("dpkg-query", ["--status", name], { reject: false });
    if (exitCode !== 0) missing.push(name);
  }
  if (missing.length > 0)
    throw new XenoError("benchmark-tools", `this comparison needs what is missing here: ${missing.join(", ")}`, {
      hint: `run as root, and try again:  apt-get install --no-install-recommends ${missing.join(" ")}`,
    });
  if (process.getuid?.() !== 0)
    throw new XenoError("needs-root", "this comparison makes and reads a system's files", { hint: "run it as root" });
}

function readFlags(options: string[]): {
  isQuick: boolean;
  given: string | undefined;
  chosen: readonly Contender[];
  json: boolean;
} {
  try {
    const { values } = parseArgs({
      args: options,
      options: {
        quick: { type: "boolean" },
        tree: { type: "string" },
        peers: { type: "string" },
        json: { type: "boolean" },
      },
    });
    const known = peers.map(({ name }) => name);
    const wanted = values.peers?.split(",") ?? known;
    const unknown = wanted.find((name) => !known.includes(name));
    if (unknown !== undefined) throw new UsageError(`there is no peer '${unknown}'; there are ${known.join(", ")}`);
    const chosen = peers.filter(({ name }) => wanted.includes(name));
    const given = values.tree === undefined ? undefined : resolve(values.tree);
    return { isQuick: values.quick ?? false, given, chosen, json: values.json ?? false };
  } catch (error) {
    throw error instanceof UsageError ? error : new UsageError((error as Error).message);
  }
}
