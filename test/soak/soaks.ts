/** The soaks by name. */
import type { Soak } from "./soak.ts";

export const soaks: Readonly<Record<string, Soak>> = {};
