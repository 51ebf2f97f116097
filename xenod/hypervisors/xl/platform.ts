/** What this Xen host is: `xl info`. */
import { createHash } from "node:crypto";
import { XenoError } from "../../../cowfs/errors.ts";
import type { GuestType } from "./configuration.ts";
import type { RunXl } from "./run-xl.ts";

export interface XenHostInfo {
  readonly major: number;
  readonly minor: number;
  /** What the processors can, as Xen shows it. */
  readonly capabilities: string;
  /** What guests it can have: `pv`, `hvm` and more. */
  readonly virtualization: readonly string[];
  readonly totalMiB: number;
  /** What no domain has, dom0 among them. */
  readonly freeMiB: number;
}

/** Lines of `name : value`. Throws `xl-unreadable`. */
export function parseInfo(text: string): XenHostInfo {
  const values = new Map(
    text.split("\n").map((line) => {
      const [name = "", ...value] = line.split(":");
      return [name.trim(), value.join(":").trim()];
    }),
  );
  const read = (name: string) => {
    const number = Number(values.get(name) || Number.NaN);
    if (Number.isInteger(number)) return number;
    throw new XenoError("xl-unreadable", `xl info says no ${name}`, { hint: "this driver knows Xen 4.17" });
  };
  return {
    major: read("xen_major"),
    minor: read("xen_minor"),
    capabilities: values.get("hw_caps") ?? "",
    virtualization: (values.get("virt_caps") ?? "").split(" "),
    totalMiB: read("total_memory"),
    freeMiB: read("free_memory"),
  };
}

export async function readHostInfo(run: RunXl): Promise<XenHostInfo> {
  return parseInfo(await run(["info"], { purpose: "asking Xen what it is" }));
}

/** What a memory image needs of a host: this Xen, guests of its type, and processors that can the same. */
export async function describePlatform(run: RunXl, type: GuestType): Promise<string> {
  const { major, minor, capabilities } = await readHostInfo(run);
  const digest = createHash("sha256").update(capabilities).digest("hex").slice(0, 12);
  return `xen ${major}.${minor} ${type} ${digest}`;
}

/** Throws `guests-unsupported`. */
export async function requireGuestType(run: RunXl, type: GuestType): Promise<void> {
  const { virtualization } = await readHostInfo(run);
  if (virtualization.includes(type === "pvh" ? "hvm" : type)) return;
  throw new XenoError("guests-unsupported", `this host has no ${type.toUpperCase()} guests`, {
    hint: `xl info | grep virt_caps says "${virtualization.join(" ")}": choose with xeno server run --xen-guests`,
  });
}
