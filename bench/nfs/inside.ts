/**
 * The benchmark itself, as the first process of namespaces of its own (processes, mounts, network): whatever ends it, the
 * kernel ends what it started, unmounts what it mounted and frees what it held in memory.
 *
 * Gets an assignment from its parent and sends measurements back; ends when the parent is gone.
 */
import { mkdir, rm } from "node:fs/promises";
import os from "node:os";
import { join } from "node:path";
import { describeError } from "../../control/cli/describe-error.ts";
import { runChild } from "./child.ts";
import { measureTogether } from "./measure.ts";
import { publishData } from "./publish-data.ts";
import { type Assignment, type Condition, type Measurement, severalRow } from "./rows.ts";
import { type Server, type ServerPlace, startGanesha, startOurs, startRpcbind } from "./servers.ts";
import { compareSeveral } from "./several-exports.ts";

const diskImageBytes = 4 * 2 ** 30;
/** Files that are removed on a disk, where each may take milliseconds. */
const diskNames = 1000;

export type Report =
  | { readonly kind: "progress"; readonly text: string }
  | { readonly kind: "measurement"; readonly measurement: Measurement }
  | { readonly kind: "failed"; readonly code: string; readonly message: string }
  | { readonly kind: "done" };

function report(message: Report): void {
  process.send?.(message);
}

const tell = (text: string) => report({ kind: "progress", text });
process.once("disconnect", () => process.exit(1));
process.once("message", (assignment: Assignment) => {
  run(assignment).then(
    () => report({ kind: "done" }),
    (error) => {
      const { code, message } = describeError(error);
      report({ kind: "failed", code, message });
    },
  );
});

async function run(assignment: Assignment): Promise<void> {
  const { directory, size } = assignment;
  const logs = join(directory, "logs");
  const memory = join(directory, "memory");
  const lower = join(memory, "lower");
  const home = join(memory, "home");
  for (const made of [logs, memory]) await mkdir(made, { recursive: true });
  const log = join(logs, "setup.log");
  await runChild(["ip", "link", "set", "lo", "up"], log);
  for (const hidden of [memory, "/run", "/var/lib/nfs"])
    await runChild(["mount", "-t", "tmpfs", "-o", "size=80%,mode=755", "tmpfs", hidden], log);
  for (const made of [lower, home, "/run/ganesha", "/var/lib/nfs/ganesha"]) await mkdir(made, { recursive: true });

  const client = join(directory, "load");
  tell("making the files to serve");
  const amounts = [size.names, size.dataBytes, size.bigBytes].map(String);
  await runChild([client, "make", lower, ...amounts], log);
  tell("publishing them for our server");
  const url = await publishData(lower, home, AbortSignal.timeout(600_000));
  await startRpcbind(logs);

  const context = { assignment, client, logs, lower, home, url };
  for (const condition of assignment.conditions)
    for (let repetition = 1; repetition <= assignment.repetitions; repetition++)
      await compare(context, condition, repetition);
  if (assignment.rows.includes(severalRow))
    for (let repetition = 1; repetition <= assignment.repetitions; repetition++)
      await compareExports(context, join(memory, "several"), repetition);
}

async function compareExports(context: Context, directory: string, repetition: number): Promise<void> {
  const { assignment, client, logs, home, url } = context;
  await mkdir(directory);
  const load = { client, seconds: assignment.seconds, size: assignment.size, logs };
  const tellMeasurement = (measurement: Measurement) => report({ kind: "measurement", measurement });
  await compareSeveral({ directory, home, url, repetition, load, tell, report: tellMeasurement });
  await rm(directory, { recursive: true });
}

interface Context {
  readonly assignment: Assignment;
  readonly client: string;
  readonly logs: string;
  readonly lower: string;
  readonly home: string;
  readonly url: string;
}

/** Both servers side by side, each row on one and then on the other, in an order that alternates. */
async function compare(context: Context, condition: Condition, repetition: number): Promise<void> {
  const { assignment, client, logs } = context;
  if (!condition.rows.some(({ name }) => assignment.rows.includes(name))) return;
  const core = condition.isPinned ? os.availableParallelism() - 1 : undefined;
  const { unsafeAsync = false } = condition;
  await using cleanup = new AsyncDisposableStack();
  const directory = await makeStorage(context, condition, cleanup);
  const servers: Server[] = [];
  for (const start of [startOurs, startGanesha]) {
    const place: ServerPlace = { ...context, ...assignment, core, unsafeAsync, directory: join(directory, start.name) };
    await mkdir(place.directory);
    const server = await start(place);
    cleanup.defer(() => server.end());
    servers.push(server);
  }
  const size = condition.storage === "disk" ? { ...assignment.size, names: diskNames } : assignment.size;
  let turn = repetition;
  for (const row of condition.rows) {
    if (!assignment.rows.includes(row.name)) continue;
    for (const depth of Object.keys(row.goals).map(Number)) {
      tell(`${condition.name}, ${repetition}/${assignment.repetitions}: ${row.title}, depth ${depth}`);
      const order = turn++ % 2 === 0 ? servers : servers.toReversed();
      for (const server of order) {
        const load = { client, row: row.name, depth, seconds: assignment.seconds, size, logs };
        const measured = await measureTogether([{ server, core }], load);
        const what = { condition: condition.name, row: row.name, depth, server: server.name, repetition };
        report({ kind: "measurement", measurement: { ...what, ...measured } });
      }
    }
  }
}

/** An empty directory for the writable layers. On disk it is an ext4 of its own, so that only it is synchronous. */
async function makeStorage(
  { assignment, logs }: Context,
  { storage, peerSyncs }: Condition,
  cleanup: AsyncDisposableStack,
): Promise<string> {
  const log = join(logs, "setup.log");
  const onDisk = storage === "disk";
  const directory = join(assignment.directory, onDisk ? "disk" : "memory/writable");
  await mkdir(directory);
  cleanup.defer(() => rm(directory, { recursive: true, force: true }));
  if (!onDisk) return directory;
  const image = join(assignment.directory, "image");
  await runChild(["truncate", "--size", String(diskImageBytes), image], log);
  cleanup.defer(() => rm(image, { force: true }));
  await runChild(["mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", image], log);
  const options = peerSyncs ? "loop,dirsync" : "loop";
  await runChild(["mount", "-o", options, image, directory], log);
  cleanup.defer(() => runChild(["umount", directory], log));
  return directory;
}
