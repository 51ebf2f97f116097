/** The soaks by name. */
import { crash, disk } from "./crash.ts";
import { kill } from "./kill.ts";
import type { Soak } from "./soak.ts";

export const soaks: Readonly<Record<string, Soak>> = { crash, disk, kill };
