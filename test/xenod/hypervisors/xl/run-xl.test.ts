import test from "ava";
import { explain } from "../../../../xenod/hypervisors/xl/run-xl.ts";

test("what xl complains of becomes a code and a hint", (t) => {
  const cases = [
    ["domain-exists", "Domain 'xeno-web-0a1b2c3d' already exists"],
    ["memory-short", "libxl: error: libxl_create.c:1032:domcreate: failed to free memory for the domain"],
    [
      "memory-short",
      "xc: error: panic: xg_dom_boot.c:120: xc_dom_boot_mem_init: can't allocate low memory for domain: Out of memory",
    ],
    [
      "link-missing",
      "libxl: error: libxl_device.c:1342:device_hotplug_child_death_cb: script: the network namespace n has no link",
    ],
    ["domain-gone", "xeno-web-0a1b2c3d is an invalid domain identifier (rc=-6)"],
    [
      "xen-missing",
      "xencall: error: Could not obtain handle on privileged command interface: No such file or directory\nlibxl: error: libxl.c:102:libxl_ctx_alloc: cannot open libxc handle: privcmd",
    ],
    [
      "guest-silent",
      "libxl: error: libxl_domain.c:88: PV control interface not available: external graceful shutdown not possible",
    ],
    ["image-damaged", "xc: error: Failed to read Record Header from stream (0 = Success): Internal error"],
    ["xl-failed", "something else"],
    ["xl-failed", ""],
  ];
  for (const [code, said] of cases) {
    const error = explain("creating domain web", said);
    t.is(error.code, code, said);
    t.regex(error.message, /^creating domain web: ./);
    t.truthy(error.hint);
  }
});
