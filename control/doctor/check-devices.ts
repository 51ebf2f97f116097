import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { execa } from "execa";
import { type Check, pass } from "./check.ts";

/** Whether KVM boots a guest here, and the reason in words. */
export type KvmQuestion = () => Promise<{ readonly works: boolean; readonly reason: string }>;

export function checkFuse(): Promise<Check> {
  return checkDevice("fuse", "/dev/fuse", "`xeno mount` and building overlays");
}

export function checkTun(): Promise<Check> {
  return checkDevice("tun", "/dev/net/tun", "the guests' network links");
}

/** Opening is the test: in a container the node may be there and not be allowed. */
async function checkDevice(name: string, path: string, purpose: string): Promise<Check> {
  try {
    const handle = await open(path, constants.O_RDWR);
    await handle.close();
    return pass(name, path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return {
      name,
      ok: false,
      required: true,
      found: code === "ENOENT" ? "nothing" : `${path} (${code})`,
      missing: `${path}, for ${purpose}`,
      howToGet: code === "EACCES" ? "run it with sudo" : `modprobe ${name}; in a container, let it have ${path}`,
    };
  }
}

export async function checkNamespaces(): Promise<Check> {
  const tried = ["--mount", "--net", "--pid", "--fork"];
  const result = await execa("unshare", [...tried, "true"], { reject: false, timeout: 10_000, stdin: "ignore" });
  if (!result.failed) return pass("namespaces", "mount, network and process namespaces");
  return {
    name: "namespaces",
    ok: false,
    required: true,
    found: String(result.stderr || result.shortMessage)
      .split("\n")[0]
      .slice(0, 200),
    missing: "new namespaces: each guest's link has one of its own",
    howToGet: "run it as root, and in a container with CAP_SYS_ADMIN and CAP_NET_ADMIN",
  };
}

export async function checkKvm(ask: KvmQuestion | undefined): Promise<Check> {
  if (ask === undefined) {
    const there = await checkDevice("kvm", "/dev/kvm", "speed");
    return there.ok
      ? pass("kvm", "/dev/kvm, not tried: there is no kernel template yet", false)
      : { ...there, ...noKvm };
  }
  try {
    const { works, reason } = await ask();
    return works ? pass("kvm", reason, false) : { name: "kvm", ok: false, found: reason, ...noKvm };
  } catch (error) {
    return { name: "kvm", ok: false, found: (error as Error).message.split("\n")[0], ...noKvm };
  }
}

const noKvm = {
  required: false,
  missing: "KVM that boots a guest: guests run emulated instead, some ten times slower",
  howToGet: "turn on virtualization in the firmware, or nested virtualization in the host of this virtual machine",
};
