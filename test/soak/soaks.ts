/** The soaks by name. */
import { afs } from "./afs.ts";
import { cares } from "./cares.ts";
import { crash, disk } from "./crash.ts";
import { fuzz } from "./fuzz.ts";
import { growth } from "./growth.ts";
import { guest } from "./guest.ts";
import { kill } from "./kill.ts";
import type { Soak } from "./soak.ts";
import { stores } from "./stores.ts";
import { wire } from "./wire.ts";

export const soaks: Readonly<Record<string, Soak>> = {
  afs,
  cares,
  crash,
  disk,
  fuzz,
  growth,
  guest,
  kill,
  stores,
  wire,
};
