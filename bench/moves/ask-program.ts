/**
 * Program, in the client's namespace: asks a service over UDP at a steady pace, and tells its parent what was answered.
 * It is told {addresses, port, everyMs}; `drain` has it tell the answers since the last time.
 */
import { createSocket } from "node:dgram";
import { setPriority } from "node:os";
import type { Answer, AskOrder } from "./asker.ts";

// An asker that waits for the processor would count that as the guest's silence.
setPriority(-19);
const socket = createSocket("udp4");
let answers: Answer[] = [];
let sequence = 0;
let timer: NodeJS.Timeout | undefined;
const now = () => performance.timeOrigin + performance.now();

socket.on("error", () => {});
socket.on("message", (message) => {
  const [, asked, clock] = message.toString("latin1").split(" ");
  answers.push({ at: now(), askedAt: Number(asked), clock: Number(clock) });
});
process.on("disconnect", () => process.exit());
process.on("message", ({ addresses, port, everyMs, drains }: AskOrder) => {
  if (drains) {
    process.send!(answers);
    answers = [];
    return;
  }
  clearInterval(timer);
  timer = setInterval(() => {
    for (const address of addresses) socket.send(`${++sequence} ${now().toFixed(1)}`, port, address, () => {});
  }, everyMs);
});
