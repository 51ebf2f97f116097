/** A live layer in a union of its own. */
import type { ExecutionContext } from "ava";
import { LiveProcess } from "../../../cowfs/layers/live/process.ts";
import type { LiveOpening } from "../../../cowfs/layers/live/protocol.ts";
import { openScratch } from "../union/scratch.ts";
import type { Laid, Spec } from "./conformance.ts";
import { makeTree } from "./lay-files.ts";

export const weakerUrl = "test://weaker";

export interface LivePlan {
  readonly weaker?: Spec;
  readonly open: LiveOpening;
  /** The root's `.mount`. Default: the layer, and the weaker one after it. */
  readonly mount?: string;
  readonly own?: () => Promise<unknown>;
}

/** `live://it`, in an empty journal whose root `.mount` names it. */
export async function layLive(t: ExecutionContext, plan: LivePlan): Promise<Laid> {
  const { weaker = {}, open, mount = `live://it\n${weakerUrl}\n`, own } = plan;
  const files = new LiveProcess(open);
  t.teardown(() => files.close());
  const layers = { [weakerUrl]: makeTree(weaker) };
  const { isWritable } = open;
  const live = { "live://it": { id: "live://it", isLive: true, isWritable, files } as const };
  const scratch = await openScratch(t, { layers, live });
  await scratch.write("/.mount", mount);
  return { scratch, own };
}
