/** Notices at once that a guest has ended, for whoever waits for something that it does. */
import { setTimeout as delay } from "node:timers/promises";
import { XenoError } from "../../cowfs/errors.ts";
import type { XenodClient } from "../../xenod/api/client.ts";

const againMs = 500;
const shownBytes = 1000;

/** Rejects with `guest-ended` and the last of its console; with the signal's reason when that comes first. */
export async function untilGuestEnds(client: XenodClient, name: string, signal: AbortSignal): Promise<never> {
  for (;;) {
    try {
      for await (const event of client.events(signal)) {
        if (event.kind === "domain-removed" && event.name === name) throw ended(name, "it was removed");
        if (event.kind !== "domain" || event.domain.name !== name || event.domain.state === "running") continue;
        const { state, reason = state } = event.domain;
        const log = await client.log(name, shownBytes, signal).catch(() => "");
        throw ended(name, `${reason}\n${log.trimEnd()}`);
      }
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof XenoError && error.code === "guest-ended") throw error;
    }
    // Xenod went away, and its guests go on: the next one tells everything again.
    await delay(againMs, undefined, { signal });
  }
}

function ended(name: string, why: string): XenoError {
  return new XenoError("guest-ended", `the guest ${name} ended: ${why}`, {
    hint: "xeno logs shows more of its console",
  });
}
