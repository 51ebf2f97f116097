/** Breadth-first search of everything that can happen. */

import type { SourceMessage, TargetMessage } from "../../../xenod/migration/protocol/messages.ts";
import type { SourceEnd } from "../../../xenod/migration/protocol/source.ts";
import type { TargetEnd } from "../../../xenod/migration/protocol/target.ts";

/** What is saved is never changed in place: worlds share what they have in common. */
export interface World {
  readonly source: SourceEnd & {
    readonly domain: "running" | "paused" | "none";
    readonly hasData: boolean;
    /** Whether its Xenod runs. */
    readonly isUp: boolean;
  };
  /** One for each attempt, to the same XenoServer or to different ones. */
  readonly targets: readonly (TargetEnd & {
    readonly isReceiving: boolean;
    readonly isRunning: boolean;
    readonly isUp: boolean;
  })[];
  readonly deathsLeft: number;
  /** How many attempts were begun. */
  readonly begun: number;
  /** Everything that was ever said: it may arrive at any time, any number of times, or never. */
  readonly toTarget: readonly SourceMessage[];
  readonly toSource: readonly TargetMessage[];
}

export function explore(start: World, listSteps: (world: World) => World[]): World[] {
  const known = new Set<string>([JSON.stringify(start)]);
  const worlds = [start];
  for (let at = 0; at < worlds.length; at++) {
    for (const next of listSteps(worlds[at]!)) {
      const key = JSON.stringify(next);
      if (known.has(key)) continue;
      known.add(key);
      worlds.push(next);
    }
  }
  return worlds;
}
