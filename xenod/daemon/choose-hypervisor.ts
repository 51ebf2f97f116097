/** Xen, where this is its dom0; else QEMU. */
import { readFileSync } from "node:fs";
import type { Hypervisor } from "../hypervisors/hypervisor.ts";
import type { GuestType } from "../hypervisors/xl/configuration.ts";
import { createXlHypervisor } from "../hypervisors/xl/xl.ts";
import { createProbingQemu } from "./probing-qemu.ts";

/** xenfs tells dom0 that it controls this host: drivers/xen/xenfs/super.c in Linux. */
const capabilitiesFile = "/proc/xen/capabilities";

/** `xenGuests`: of what type those of Xen are. */
export function chooseHypervisor(xenGuests?: GuestType): Hypervisor {
  return controlsXen() ? createXlHypervisor({ guests: xenGuests }) : createProbingQemu();
}

function controlsXen(): boolean {
  try {
    return readFileSync(capabilitiesFile, "latin1").split(/\s+/).includes("control_d");
  } catch {
    return false;
  }
}
