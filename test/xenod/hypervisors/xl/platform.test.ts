import test from "ava";
import { parseInfo } from "../../../../xenod/hypervisors/xl/platform.ts";

test("of what xl info prints, the version, the processors and the memory are read", (t) => {
  const printed = [
    "host                   : a",
    "machine                : x86_64",
    "hw_caps                : 178bf3ff:f6fa3203:2e500800:000001f7:0000000f:219c07a9:00000004:00000000",
    "virt_caps              : pv hvm hap",
    "total_memory           : 1407",
    "free_memory            : 517",
    "xen_major              : 4",
    "xen_minor              : 17",
    "xen_extra              : .7",
    "xen_commandline        : placeholder dom0_mem=832M,max:832M console=com1",
    "",
  ].join("\n");
  t.deepEqual(parseInfo(printed), {
    major: 4,
    minor: 17,
    capabilities: "178bf3ff:f6fa3203:2e500800:000001f7:0000000f:219c07a9:00000004:00000000",
    virtualization: ["pv", "hvm", "hap"],
    totalMiB: 1407,
    freeMiB: 517,
  });
  t.throws(() => parseInfo("total_memory : 12\n"), { code: "xl-unreadable" });
});
