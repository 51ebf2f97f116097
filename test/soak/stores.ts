/**
 * `npm run soak -- stores`: whether a guest's stores survive a move of QEMU's, live and stopped, under TCG.
 *
 * The guest is 24 bytes of code that count up through pages, one store in each: at any instant two neighbours differ by one at
 * most, and after a move all pages there are those that were here. It has no interrupts and no page tables, so nothing flushes
 * its TLB but QEMU itself. That a live move loses stores is counted, not failed: it is why a guest under TCG is stopped for all
 * of its move (xenod/hypervisors/qemu/qemu-domain.ts). A stopped one that loses any is a failure.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { QmpClient } from "../../xenod/hypervisors/qemu/qmp.ts";
import { runRounds, type Soak } from "./soak.ts";

const codeAt = 0x100000;
const pagesAt = 0x1000000;
const pageBytes = 4096;
/** A word of QEMU's dirty bitmap, and less than its least TLB. */
const pages = 64;
const deadlineMs = 60_000;
/** So slow that a pass over what the guest writes takes 0.25 s: it goes on until we let it end. */
const slow = { "max-bandwidth": 2 ** 20, "downtime-limit": 1 };
const slowMs = 3_000;
const fast = { "max-bandwidth": 2 ** 30, "downtime-limit": 1_000 };

export const stores: Soak = {
  about: "a guest's stores through moves of QEMU's under TCG, live and stopped",
  minutes: 1,
  run: (run) =>
    runRounds(run, async (_seed, count) => {
      const lost = await countLost(true, run.signal);
      count("live moves");
      count("live moves that lost stores", lost > 0 ? 1 : 0);
      count("pages lost by them", lost);
      const never = await countLost(false, run.signal);
      count("stopped moves");
      if (never > 0) throw new Error(`a stopped move lost stores in ${never} of ${pages} pages`);
    }),
};

/** Pages that differ at the target. */
async function countLost(isLive: boolean, signal: AbortSignal): Promise<number> {
  await using cleanup = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), "xeno-stores-"));
  cleanup.defer(() => rm(directory, { recursive: true, force: true }));
  const kernel = join(directory, "guest");
  await writeFile(kernel, assembleGuest());
  const uri = `unix:${join(directory, "memory")}`;
  const start = async (name: string, ...more: string[]) => {
    const control = join(directory, name);
    const options = ["-machine", "pc-q35-7.2", "-accel", "tcg", "-m", "64M", "-nodefaults", "-display", "none", "-S"];
    const qmp = `unix:${control},server=on,wait=off`;
    const child = spawn("qemu-system-x86_64", [...options, "-kernel", kernel, "-qmp", qmp, ...more], {
      stdio: ["ignore", "ignore", "inherit"],
    });
    const ended = once(child, "exit").catch(() => {});
    cleanup.defer(async () => {
      child.kill("SIGKILL");
      await ended;
    });
    return await until(() => QmpClient.connect(control).catch(() => undefined), signal);
  };
  const source = await start("source");
  const target = await start("target", "-incoming", uri);
  await source.execute("cont");
  await until(async () => (await readPages(source, directory))[0] > 1_000 || undefined, signal);
  if (!isLive) await source.execute("stop");
  await source.execute("migrate-set-parameters", isLive ? slow : fast);
  await source.execute("migrate", { uri });
  if (isLive) {
    await delay(slowMs, undefined, { signal });
    await source.execute("migrate-set-parameters", fast);
  }
  for (const end of [source, target])
    await until(async () => {
      const { status } = (await end.execute("query-migrate")) as { status?: string };
      if (status === "failed") throw new Error("QEMU's move failed");
      return status === "completed" || undefined;
    }, signal);
  const [here, there] = [await readPages(source, directory), await readPages(target, directory)];
  return here.filter((value, page) => value !== there[page]).length;
}

/** A multiboot kernel (Multiboot 0.6.96, section 3.1: the address fields) that QEMU loads as it is. */
function assembleGuest(): Buffer {
  const [magic, hasAddresses, headerBytes] = [0x1badb002, 0x10000, 32];
  const header = [magic, hasAddresses, -(magic + hasAddresses) >>> 0, codeAt, codeAt, 0, 0, codeAt + headerBytes];
  const words = (...values: number[]) => Buffer.from(Uint32Array.from(values).buffer);
  return Buffer.concat([
    words(...header),
    Buffer.from([0xb8, 0, 0, 0, 0]), // mov eax, 0
    Buffer.from([0x40, 0xbf]), // all: inc eax; mov edi, …
    words(pagesAt),
    Buffer.from([0xb9]), // mov ecx, …
    words(pages),
    Buffer.from([0x89, 0x07, 0x81, 0xc7]), // next: mov [edi], eax; add edi, …
    words(pageBytes),
    Buffer.from([0x49, 0x75, 0xf5, 0xeb, 0xe8]), // dec ecx; jnz next; jmp all
  ]);
}

/** The first word of each. */
async function readPages(qemu: QmpClient, directory: string): Promise<number[]> {
  const filename = join(directory, "pages");
  await qemu.execute("pmemsave", { val: pagesAt, size: pages * pageBytes, filename });
  const content = await readFile(filename);
  return Array.from({ length: pages }, (_, page) => content.readUInt32LE(page * pageBytes));
}

async function until<T>(look: () => Promise<T | undefined>, signal: AbortSignal): Promise<T> {
  for (const end = performance.now() + deadlineMs; performance.now() < end; ) {
    const found = await look();
    if (found !== undefined) return found;
    await delay(20, undefined, { signal });
  }
  throw new Error(`QEMU did not come so far in ${deadlineMs / 1000} s`);
}
