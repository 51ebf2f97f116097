/** Takes requests from the thread that reads the device and has them served, in order. */
import { once } from "node:events";
import { setImmediate as nextTurn } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { allocateRing, openRing, slotBytes, slotOf, taken, written } from "./device-ring.ts";
import { Request } from "./request.ts";
import type { Session } from "./session.ts";

/** After so many requests in a row everything else on the event loop has its turn. */
const requestsPerTurn = 32;

/** Settles when the file system was unmounted; rejects when the device cannot be read. */
export async function serveDevice(device: number, session: Session): Promise<void> {
  const memory = allocateRing();
  const reader = new Worker(new URL("./device-reader.ts", import.meta.url), { workerData: { device, memory } });
  const { counters, data } = openRing(memory);
  let ended = false;
  // Rejects with what the thread died of.
  const end = once(reader, "exit").finally(() => {
    ended = true;
    Atomics.notify(counters, written);
  });
  end.catch(() => {});

  // Requests are taken out of shared memory, which not every consumer of a Buffer accepts.
  const request = new Request(Buffer.from(new ArrayBuffer(slotBytes)));
  let count = 0;
  while (!ended) {
    const change = Atomics.waitAsync(counters, written, count);
    if (change.async) await change.value;
    for (let served = 0; Atomics.load(counters, written) !== count; served++) {
      if (served === requestsPerTurn) {
        await nextTurn();
        served = 0;
      }
      await session.crowded;
      const slot = data[slotOf(count)];
      slot.copy(request.bytes, 0, 0, slot.readUInt32LE(0));
      count = (count + 1) | 0;
      Atomics.store(counters, taken, count);
      Atomics.notify(counters, taken);
      session.accept(request);
    }
  }
  await end;
}
