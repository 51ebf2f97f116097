import { release } from "node:os";
import { type Check, pass } from "./check.ts";
import { checkFuse, checkKvm, checkNamespaces, checkTun, type KvmQuestion } from "./check-devices.ts";
import { checkDebianPackages } from "./check-packages.ts";
import { checkDisk, checkMemory } from "./check-room.ts";

export interface Inspection {
  /** Where state will lie ($XENO_HOME); need not exist yet. */
  readonly stateDirectory: string;
  /** Asks whether KVM really boots a guest (xenod/hypervisors/qemu/kvm-probe.ts); without it, KVM is only looked for. */
  readonly kvm?: KvmQuestion;
}

const leastNodeMajor = 24;

/** Looks at everything at once; takes a second, and as long as the KVM question. Never throws for what it finds. */
export async function inspectMachine(inspection: Inspection): Promise<Check[]> {
  const checks = await Promise.all([
    checkPlatform(),
    checkRoot(),
    checkNode(),
    checkFuse(),
    checkTun(),
    checkNamespaces(),
    checkKvm(inspection.kvm),
    checkMemory(),
    checkDisk("disk", inspection.stateDirectory, "templates, caches and journals"),
    checkDebianPackages(),
  ]);
  return checks.flat();
}

function checkPlatform(): Check {
  const found = `${process.platform} ${release()} on ${process.arch}`;
  if (process.platform === "linux" && process.arch === "x64") return pass("platform", found);
  const missing = "Linux on x86-64, for which kernels and Node are chosen";
  return { name: "platform", ok: false, required: true, found, missing, howToGet: "use such a machine" };
}

function checkRoot(): Check {
  const uid = process.getuid?.() ?? -1;
  if (uid === 0) return pass("root", "uid 0");
  const missing = "root, for namespaces, mounts and devices";
  return { name: "root", ok: false, required: true, found: `uid ${uid}`, missing, howToGet: "run it with sudo" };
}

function checkNode(): Check {
  const [major] = process.versions.node.split(".");
  if (Number(major) >= leastNodeMajor) return pass("node", process.version);
  const missing = `Node ${leastNodeMajor} or later, which runs TypeScript as it is`;
  return { name: "node", ok: false, required: true, found: process.version, missing, howToGet: "use bin/xeno or npm" };
}
