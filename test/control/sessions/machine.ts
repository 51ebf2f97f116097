/** A machine whose guests are the simulator's, shared by the tests of a file: everything else of it is real. */
import { access, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ExecutionContext, TestFn } from "ava";
import type { Machine } from "../../../control/sessions/machines.ts";
import type { DomainRecord } from "../../../xenod/daemon/domain-record.ts";
import { openSimulatedConsole } from "../../../xenod/hypervisors/simulator/simulated-guest.ts";
import { type RunningServer, startXenoServer } from "../../end-to-end/xeno-server.ts";
import { runTeardowns } from "../../run-teardowns.ts";
import { publishFiles } from "../../xenod/published.ts";

export interface SimulatedMachine extends Machine {
  readonly server: RunningServer;
  readonly overlay: string;
  readonly kernel: string;
  state(domain: string): Promise<DomainRecord["state"] | "gone">;
}

/** Starts it before the tests, and takes it down after them. */
export function shareMachine(test: TestFn): () => SimulatedMachine {
  let machine: SimulatedMachine;
  const teardowns: (() => unknown)[] = [];
  test.before(async (t) => {
    machine = await startMachine({ teardown: (act) => void teardowns.push(act), log: t.log });
  });
  test.after.always(() => runTeardowns(teardowns));
  return () => machine;
}

async function startMachine(t: Pick<ExecutionContext, "teardown" | "log">): Promise<SimulatedMachine> {
  const server = await startXenoServer(t, { simulates: true });
  const configuration = JSON.stringify({ format: 1, kernel: "vmlinux", initramfs: "initramfs", commandLine: "quiet" });
  const files = { "config.json": configuration, vmlinux: "no kernel", initramfs: "no initramfs" };
  const kernel = await publishFiles(server.published, "kernel", files);
  const overlay = await publishFiles(server.published, "web", { "sbin/init": "never run" });
  const { client } = server;
  const state = async (domain: string) =>
    (await client.domains()).find(({ name }) => name === domain)?.state ?? ("gone" as const);
  return { name: "a", client, server, overlay, kernel, state };
}

/** What a guest wrote, as it were: a file in its domain's directory. */
export function guestFile({ server }: SimulatedMachine, domain: string) {
  const file = join(server.stateDirectory, "domains", domain, "journal", "written-by-test");
  return {
    write: () => writeFile(file, "of the guest"),
    isThere: () => access(file).then(...([() => true, () => false] as const)),
  };
}

/** What the guest does by itself. */
export function powerOff({ server }: SimulatedMachine, domain: string): void {
  openSimulatedConsole(join(server.stateDirectory, "domains", domain)).write("poweroff -f\n");
}
