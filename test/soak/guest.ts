/**
 * `npm run soak -- guest`: a whole Debian guest that installs a compiler, builds, works with SQLite and git, renames a
 * directory of the template, changes files by calls and by mappings (fsx.py), resets itself, and finds all of it (guest.sh). Its short
 * form is test/end-to-end/guest-work.test.ts.
 */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { findHome } from "../../control/cli/home.ts";
import type { Narrator } from "../../control/demo/narrate.ts";
import { kernelUrl, prepareKernel, prepareOverlay, prepareTemplate } from "../../control/demo/prepare.ts";
import { deployEverywhere } from "../../control/deploy/deploy-everywhere.ts";
import { startServers } from "../../control/network/start-servers.ts";
import type { XenodClient } from "../../xenod/api/client.ts";
import { runRounds, type Soak, type SoakRun } from "./soak.ts";

const overlayUrl = "xenostore://demo/soak-guest";
const script = fileURLToPath(new URL("guest.sh", import.meta.url));
const fsx = fileURLToPath(new URL("../cowfs/fuse/fsx.py", import.meta.url));
/** Emulated on a machine with much else to do; with KVM it is two minutes. */
const deadlineMs = 3_600_000;

export const guest: Soak = {
  about: "a Debian guest that installs a compiler, builds, works with SQLite, git and mapped files, and resets itself",
  minutes: 60,
  run: (run) => runRounds(run, (_seed, count) => bootAndWork(run, count)),
};

async function bootAndWork(run: SoakRun, count: (what: string, by?: number) => void): Promise<void> {
  const { signal } = run;
  const home = findHome();
  const store = await home.openStore({ create: true });
  const layers = await home.openLayers(store);
  await using cleanup = new AsyncDisposableStack();
  cleanup.defer(() => layers.close());
  const tell = (who: string, what: string) => run.progress(() => `${who}: ${what}`);
  const narrator: Narrator = { tell, tellSometimes: tell };
  const preparation = { home, store, layers, signal, narrator };
  await prepareTemplate(preparation);
  await prepareKernel(preparation);
  const scratch = await mkdtemp(join(tmpdir(), "xeno-soak-guest-"));
  cleanup.defer(() => rm(scratch, { recursive: true, force: true }));
  const overlay = await prepareOverlay(preparation, await writeScript(scratch), overlayUrl);
  const { servers } = await startServers({
    home,
    names: ["soak"],
    stateDirectory: home.at("soak"),
    cleanup,
    signal,
    tell,
  });
  const document = { name: "guest", overlay: overlay.url, kernel: kernelUrl, memoryMiB: 512, cpus: 1 };
  const [{ domain, error }] = await deployEverywhere(servers, document, (_server, step) => tell("soak", step), signal);
  if (domain === undefined) throw error;
  const steps = await untilFound(servers[0].client, domain.name, run);
  for (const step of steps) process.stderr.write(`${step}\n`);
  count("steps", steps.length);
  count("resets");
}

/** guest.sh, with fsx.py in it: an overlay is built from one script. */
async function writeScript(directory: string): Promise<string> {
  const whole = join(directory, "guest.sh");
  const program = await readFile(fsx, "utf8");
  await writeFile(
    whole,
    `${await readFile(script, "utf8")}cat > /usr/local/lib/fsx.py <<'END_OF_FSX'\n${program}END_OF_FSX\n`,
  );
  return whole;
}

/** What the guest said when it had found all of it. Throws what it failed at. */
async function untilFound(client: XenodClient, name: string, run: SoakRun): Promise<string[]> {
  for (const end = performance.now() + deadlineMs; ; await delay(1000, undefined, { signal: run.signal })) {
    const said = await client.log(name, 262_144, run.signal);
    const steps = said.match(/^soak: .*$/gm) ?? [];
    const failure = steps.find((step) => step.startsWith("soak: FAILED"));
    if (failure !== undefined) throw new Error(`${failure}\n${said.slice(-4000)}`);
    if (steps.some((step) => step.includes("FOUND ALL"))) return steps.map((step) => step.trim());
    if (performance.now() > end) throw new Error(`not done in time\n${said.slice(-4000)}`);
    run.progress(() => steps.at(-1) ?? "booting");
  }
}
