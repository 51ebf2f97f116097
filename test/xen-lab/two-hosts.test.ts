/**
 * A guest's life on two real Xen hosts, each a QEMU that emulates a machine with Xen (bench/xen-lab). `npm test` runs it beside
 * all other tests. The images are made where they are missing, once for a machine; without QEMU it is skipped.
 */
import { spawnSync } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { startLab, stopLab } from "../../bench/xen-lab/lab.ts";
import { labHostNames, xenHostFiles } from "../../bench/xen-lab/xen-host.ts";
import { findHome } from "../../control/cli/home.ts";
import { readStartTime } from "../../xenod/processes.ts";
import { runTeardowns } from "../run-teardowns.ts";
import { GuestLife } from "./two-hosts.ts";

/** For all of it. On a quiet machine it takes minutes, and four more to make the images. */
const deadlineMs = 3_000_000;
const shownLogBytes = 4_000;
const stem = "xeno-xen-lab-";
const hasQemu = spawnSync("qemu-system-x86_64", ["--version"]).error === undefined;
const teardowns: (() => unknown)[] = [];
const startedAt = performance.now();
let directory: string;
let signal: AbortSignal;
let life: GuestLife | undefined;
/** All steps so far are done. */
let isWhole = true;

if (!hasQemu) console.log("xen-lab: skipped: there is no QEMU here (Debian's qemu-system-x86)");

// An ava that is killed leaves its workers, who would go on for all of the pass. With this one its hosts end.
process.once("disconnect", () => process.kill(process.pid, "SIGKILL"));

test.before(async () => {
  signal = AbortSignal.timeout(deadlineMs);
  await sweepAbandoned();
  directory = await mkdtemp(join(tmpdir(), `${stem}${process.pid}-`));
  teardowns.push(() => rm(directory, { recursive: true, force: true }));
});
test.after.always(() => runTeardowns(teardowns));

step("two Xen hosts are up, each with a XenoServer that answers", async () => {
  teardowns.push(() => stopLab(directory));
  const home = findHome().at("xen-lab");
  const hosts = await startLab({ home, directory, hosts: 2, isTied: true, signal, onProgress: tell });
  life = await GuestLife.begin({ directory, hosts, hasKernel: true, signal });
  teardowns.push(() => life?.close());
  return "both XenoServers answer";
});
step("deployed by QEMU's document, a Xen guest has its root over NFS on its vif", () => life!.deploy());
step("suspended and published, it is resumed on the other Xen host with all that it had", () =>
  life!.resumeElsewhere(),
);
step("it moves between the Xen hosts while it runs, and nothing of it is left behind", () => life!.moveLive());
step("the receiving Xenod is killed in the middle of a move: it runs on where it was", () => life!.killReceiver());
step("removed, nothing of it is left on either Xen host", () => life!.remove());

/** Each takes up what the one before it left. `act` says what has happened. */
function step(title: string, act: () => Promise<string>): void {
  (hasQemu ? test.serial : test.serial.skip)(title, async (t) => {
    t.timeout(deadlineMs);
    if (!isWhole) return t.fail("a step before it failed");
    isWhole = false;
    try {
      tell(await act());
    } catch (error) {
      if (life !== undefined) t.log((await life.readConsoles()).slice(-shownLogBytes));
      for (const name of labHostNames) t.log(await readLogsEnd(name));
      throw error;
    }
    isWhole = true;
    t.pass();
  });
}

/** Of a run that was killed, only files stay: its hosts were tied to it. */
async function sweepAbandoned(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    if (!name.startsWith(stem)) continue;
    const owner = Number.parseInt(name.slice(stem.length), 10);
    if ((await readStartTime(owner)) === undefined) await rm(join(tmpdir(), name), { recursive: true, force: true });
  }
}

async function readLogsEnd(name: string): Promise<string> {
  const { xenodLog, console: dom0 } = xenHostFiles(directory, name);
  const read = (file: string) => readFile(file, "latin1").catch(() => "");
  const [told, printed] = await Promise.all([xenodLog, dom0].map(read));
  return `${name}'s Xenod: ${told.slice(-shownLogBytes)}\n${name}'s dom0: ${printed.slice(-shownLogBytes)}`;
}

function tell(text: string): void {
  console.log(`xen-lab: ${((performance.now() - startedAt) / 1000).toFixed(0)} s: ${text}`);
}
