/** What the benchmarks with guests begin with: the machine, the template that `npm start` uses, and a directory of the run's own. */
import fs from "node:fs/promises";
import { findHome, type Home } from "../control/cli/home.ts";
import { createNarrator } from "../control/demo/narrate.ts";
import { type Preparation, prepareTemplate } from "../control/demo/prepare.ts";
import { takeLock } from "../cowfs/journals/lock.ts";
import { sweepAbandoned } from "../xenod/links/sweep.ts";
import { describeMachine } from "./machine.ts";

/** In `$XENO_HOME` and its store; the template is imported where it is not there. */
export async function prepareTemplateBench(signal: AbortSignal) {
  const narrator = createNarrator();
  const home = findHome();
  const machine = await describeMachine();
  const store = await home.openStore({ create: true });
  const layers = await home.openLayers(store);
  const preparation: Preparation = { home, store, layers, signal, narrator };
  return { ...preparation, narrator, machine, template: await prepareTemplate(preparation) };
}

/** Where this run's state lies: empty, so that the first boot finds cold caches, and removed afterwards. */
export async function takeDirectory(home: Home, cleanup: AsyncDisposableStack): Promise<string> {
  await fs.mkdir(home.at("bench"), { recursive: true, mode: 0o700 });
  takeLock(home.at("bench", "lock"), "the benchmark");
  // Nobody writes there any more, if an earlier run was killed.
  await sweepAbandoned();
  const directory = home.at("bench", "run");
  const remove = () => fs.rm(directory, { recursive: true, force: true });
  await remove();
  cleanup.defer(remove);
  return directory;
}
