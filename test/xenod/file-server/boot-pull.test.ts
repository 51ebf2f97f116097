/** What a first boot reads is what is brought ahead of a later one: over two real caches and one store. */
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import test, { type ExecutionContext } from "ava";
import { runWithFaults } from "../../../cowfs/fault.ts";
import type { Tree } from "../../../cowfs/trees/tree.ts";
import { type Layers, openLayers } from "../../../templates/layers/open-layers.ts";
import { BootPull } from "../../../xenod/file-server/boot-pull.ts";
import { readTrust } from "../../../xenostore/keys/key-ring.ts";
import type { ObjectStore } from "../../../xenostore/stores/object-store.ts";
import { decodeTrace, traceKey } from "../../../xenostore/traces/boot-trace.ts";
import { makeBytes } from "../../xenostore/publish/sample.ts";
import { makeStore, type Published, publishFiles } from "../published.ts";

const forever = new AbortController().signal;
const fileCount = 40;
const fileBytes = 150_000;
const nameOf = (number: number) => `f${String(number).padStart(2, "0")}`;

async function setUp(t: ExecutionContext) {
  const published = await makeStore(t);
  const files = Object.fromEntries(
    Array.from({ length: fileCount }, (_, number) => [nameOf(number), makeBytes(fileBytes, nameOf(number))]),
  );
  return { published, url: await publishFiles(published, "service", files), files };
}

/** A XenoServer of its own, as far as its cache goes. */
function openServer(
  t: ExecutionContext,
  { directory, store, trustDirectory }: Published,
  name: string,
  from?: ObjectStore,
) {
  const layers = openLayers({
    store: from ?? store,
    trust: readTrust(trustDirectory),
    cacheDirectory: join(directory, name),
  });
  t.teardown(() => layers.close());
  return layers;
}

async function startBoot(t: ExecutionContext, layers: Layers, url: string, pace?: () => Promise<void>) {
  const said: string[] = [];
  const pull = new BootPull({
    traces: layers.traces,
    isBoot: true,
    quietMs: 300,
    pace,
    log: (text) => said.push(text),
  });
  t.teardown(() => pull.close());
  const opened = await layers.open(url, undefined);
  return { pull, tree: pull.add(opened), opened, said };
}

async function read(tree: Tree, number: number): Promise<Buffer> {
  const inode = tree.find(0, nameOf(number));
  const bytes = Buffer.alloc(fileBytes);
  await runWithFaults(() => tree.read(inode, 0, fileBytes, bytes, 0), forever);
  return bytes;
}

async function until(t: ExecutionContext, what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + 60_000;
  while (!(await holds())) {
    if (performance.now() > end) return t.fail(`not in time: ${what}`);
    await delay(20);
  }
}

const booted = [31, 3, 17, 8];

test("the first boot leaves a trace in the store, and another XenoServer has all of it before its guest asks", async (t) => {
  const { published, url, files } = await setUp(t);
  const first = await startBoot(t, openServer(t, published, "one"), url);
  for (const number of booted) t.true((await read(first.tree, number)).equals(files[nameOf(number)]));
  t.is(first.pull.reads.readyBytes, 0);
  t.false(first.pull.reads.ended);
  first.pull.noteInit();
  const key = traceKey(first.opened.tree.id);
  await until(t, "the trace", async () => (await published.store.stat(key)) !== undefined);
  t.true(first.pull.reads.ended);
  const trace = decodeTrace(await published.store.get(key)).get(first.opened.tree.id)!;
  t.is(new Set(trace).size, trace.length);

  const layers = openServer(t, published, "two");
  const second = await startBoot(t, layers, url);
  const wanted = trace.reduce((sum, chunk) => sum + second.opened.tree.chunks.length(chunk), 0);
  await until(t, "the prefetch", () => trace.every(second.opened.has));
  t.true(second.opened.residentBytes() < wanted * 2, "and not much else");
  for (const number of booted) await read(second.tree, number);
  t.is(second.pull.reads.readyBytes, second.pull.reads.readBytes);
  t.is(layers.counters.demandedBytes, 0);
  t.deepEqual(second.said, []);
});

test("a boot that read much more than its trace held mends it; one that read the same leaves it", async (t) => {
  const { published, url } = await setUp(t);
  const key = async () => traceKey((await openServer(t, published, "look").resolveUrl(url)).tree);
  const boot = async (name: string, numbers: readonly number[]) => {
    const { pull, tree } = await startBoot(t, openServer(t, published, name), url);
    for (const number of numbers) await read(tree, number);
    pull.noteInit();
    await until(t, "the boot's end", () => pull.reads.ended);
    await pull.close();
  };
  await boot("one", booted);
  const before = await published.store.get(await key());
  await boot("two", booted.slice(1));
  t.deepEqual(await published.store.get(await key()), before);
  await boot("three", [...booted, 25, 26]);
  const mended = decodeTrace(await published.store.get(await key()));
  const [[, chunks]] = mended;
  const [[, known]] = decodeTrace(before);
  t.deepEqual(chunks.slice(0, known.length), known);
  t.true(chunks.length > known.length);
});

test("a trace that is rubbish, or names chunks that the tree has not, changes nothing but what is brought", async (t) => {
  const { published, url, files } = await setUp(t);
  const { tree } = await openServer(t, published, "look").open(url, undefined);
  const nonsense = Buffer.from("nonsense");
  await published.store.putIfAbsent(traceKey(tree.id), nonsense);
  const { tree: served, pull, said } = await startBoot(t, openServer(t, published, "one"), url);
  t.true((await read(served, 5)).equals(files[nameOf(5)]));
  pull.noteInit();
  await until(t, "the boot's end", () => pull.reads.ended);
  await until(t, "a good trace", async () => !(await published.store.get(traceKey(tree.id))).equals(nonsense));
  t.true(said.length === 0);
});

test("after the boot everything is brought at the operator's pace", async (t) => {
  const { published, url, files } = await setUp(t);
  let asked = 0;
  const { pull, tree, opened } = await startBoot(t, openServer(t, published, "one"), url, async () => {
    asked++;
  });
  await read(tree, 1);
  t.is(asked, 0, "not while it boots");
  pull.noteInit();
  await until(t, "all of it", () => opened.residentBytes() === opened.tree.chunks.bytes);
  t.true(asked > 1);
  t.true((await read(tree, 39)).equals(files[nameOf(39)]));
});
