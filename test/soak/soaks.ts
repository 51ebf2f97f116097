/** The soaks by name. */
import { crash, disk } from "./crash.ts";
import { fuzz } from "./fuzz.ts";
import { kill } from "./kill.ts";
import type { Soak } from "./soak.ts";

export const soaks: Readonly<Record<string, Soak>> = { crash, disk, fuzz, kill };
