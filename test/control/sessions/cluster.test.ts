/** One environment manager before several machines, which its clients see as one XenoServer. */
import test from "ava";
import { describePublicKey } from "../../../control/credentials/public-key.ts";
import { acceptOffer } from "../../../control/sessions/lease.ts";
import { chooseMachine, type Machine, type MachineRoom } from "../../../control/sessions/machines.ts";
import { shareMachine } from "./machine.ts";
import { hourMs, requirements, withSelling } from "./selling.ts";

const machine = shareMachine(test);

const room = (name: string, memoryMiB: number, cpuMsPerSecond: number, load: number) =>
  ({ machine: { name }, memoryMiB, cpuMsPerSecond, load }) as MachineRoom;
const rooms = [room("small", 100, 4000, 0.1), room("busy", 2000, 500, 0.8), room("calm", 1000, 1000, 0.3)];

for (const [memory, cpu, chosen] of [
  [64, 0, "small"],
  [500, 0, "calm"],
  [500, 800, "calm"],
  [1500, 0, "busy"],
  [64, 3000, "small"],
] as const)
  test(`of the machines with room for ${memory} MiB and ${cpu} ms/s the least loaded is taken`, (t) => {
    const wanted = { MemoryMiB: memory, CPUmsps: cpu, NetMbps: 0, DiskMiB: 0 };
    t.is(chooseMachine([...rooms], wanted).machine.name, chosen);
  });

test("what fits nowhere is refused, and what would fit is told", (t) => {
  const wanted = { MemoryMiB: 1500, CPUmsps: 800, NetMbps: 0, DiskMiB: 0 };
  const error = t.throws(() => chooseMachine([...rooms], wanted), { code: "room-short" });
  t.regex((error as { hint?: string }).hint!, /100 MiB and 4000 ms\/s.*, or 2000 MiB and 500 ms\/s/);
});

test("sessions go to the machine that was promised least, and one that does not answer is left out (R1)", async (t) => {
  await withSelling(machine(), async ({ manager, reopen, addClient }) => {
    const client = {
      domains: () => machine().client.domains(),
      // What this host has free changes with all that runs on it.
      status: async () => ({
        room: { memoryMiB: { left: 1000, total: 1000 }, cpuMsPerSecond: { left: 900, total: 900 } },
      }),
    } as unknown as Machine["client"];
    const down = { domains: () => Promise.reject(new Error("down")), status: () => Promise.reject(new Error("down")) };
    const machines = [
      { name: "a", client },
      { name: "b", client },
      { name: "down", client: down as unknown as Machine["client"] },
    ];
    const cluster = await reopen({ machines, stateDirectory: `${manager.options.stateDirectory}-cluster` });
    const ada = await addClient();
    const caller = { keyId: ada.key.id, publicKey: describePublicKey(ada.key.publicKey) };
    const chosen: string[] = [];
    for (let count = 0; count < 4; count++) {
      const offer = await cluster.offer(caller, { requirements, termMs: hourMs });
      const { machine: name } = await cluster.create(caller, await acceptOffer(offer, ada.key), await ada.order());
      chosen.push(name);
    }
    t.deepEqual(chosen.sort(), ["a", "a", "b", "b"]);
    // Two on each, and each guest with the 96 MiB that its hypervisor takes.
    for (const { memoryMiB } of await cluster.rooms.measure()) t.is(memoryMiB, 1000 - 96 - 2 * (64 + 96));
    await cluster.idle();
  });
});
