/** What this Xen host is: `xl info`. */
import { createHash } from "node:crypto";
import { XenoError } from "../../../cowfs/errors.ts";
import { runXl } from "./run-xl.ts";

export interface XenHostInfo {
  readonly major: number;
  readonly minor: number;
  /** What the processors can, as Xen shows it. */
  readonly capabilities: string;
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
    totalMiB: read("total_memory"),
    freeMiB: read("free_memory"),
  };
}

export async function readHostInfo(): Promise<XenHostInfo> {
  return parseInfo(await runXl(["info"], { purpose: "asking Xen what it is" }));
}

/** What a memory image needs of a host: this Xen, and processors that can the same. */
export async function describePlatform(): Promise<string> {
  const { major, minor, capabilities } = await readHostInfo();
  const digest = createHash("sha256").update(capabilities).digest("hex").slice(0, 12);
  return `xen ${major}.${minor} pvh ${digest}`;
}
