/** What an environment manager does by itself: looks at its sessions every second, advertises, and measures where it is. */
import { setTimeout as delay } from "node:timers/promises";
import type { Coordinates } from "../search/coordinates.ts";
import { advertise } from "./advertise.ts";
import type { EnvironmentManager } from "./environment-manager.ts";
import { measurePlace } from "./measure-place.ts";

const lookMs = 1_000;
/** What is new is found soon. */
const firstAdvertisements = 3;
const firstMs = 2_000;

/** Settles once the signal aborted and what was under way is kept. */
export async function runManager(manager: EnvironmentManager, signal: AbortSignal): Promise<void> {
  await Promise.all([lookAtSessions(manager, signal), keepAdvertised(manager, signal)]);
  await manager.idle();
}

async function lookAtSessions(manager: EnvironmentManager, signal: AbortSignal): Promise<void> {
  const { log, configuration } = manager.options;
  const everyMs = Math.min(lookMs, (configuration.chargeSeconds ?? 60) * 1000);
  while (!signal.aborted) {
    await manager.tick().catch((error) => log(`a defect: ${(error as Error).stack}`));
    await delay(everyMs, undefined, { signal }).catch(() => {});
  }
}

async function keepAdvertised(manager: EnvironmentManager, signal: AbortSignal): Promise<void> {
  const { log, configuration, key } = manager.options;
  const { information = [], advertiseSeconds = 120, peers = [] } = configuration;
  // XenoCorps that do not answer yet are asked again when they are needed.
  await manager.corporations.list();
  if (information.length === 0) return;
  let place: Coordinates | undefined;
  for (let count = 0; !signal.aborted; count++) {
    await advertise(manager, place).catch((error) => log(`advertising: ${(error as Error).message}`));
    const everyMs = advertiseSeconds * 1000;
    await delay(count < firstAdvertisements ? Math.min(firstMs, everyMs) : everyMs, undefined, { signal }).catch(
      () => {},
    );
    if (!signal.aborted) place = await measurePlace(place, { information, server: key.id, peers });
  }
}
