import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSimulator, killSimulated } from "../../../../xenod/hypervisors/simulator/simulator.ts";
import { testHypervisor } from "../conformance.ts";

testHypervisor("simulator", {
  open: () => createSimulator(),
  async prepare(t, name, commandLine = "") {
    const directory = await mkdtemp(join(tmpdir(), "xeno-simulated-"));
    t.teardown(() => rm(directory, { recursive: true, force: true }));
    const link = { namespace: "none", tap: "none", mac: "02:00:00:00:00:01" };
    return { name, directory, memoryMiB: 128, cpus: 1, kernel: "", initramfs: "", commandLine, link };
  },
  kill: killSimulated,
  remains: ["console.log"],
  list: async (directory) => (await readdir(directory)).sort(),
});
